"""Produces JSON lines from stdin: partition (-1: by key), key, value (base64 or null), timestamp_ms,
headers. Ends with an error unless every record was acknowledged.

usage: produce.py ADDRESS TOPIC CODEC [commit|abort]
"""

import base64
import json
import sys

from confluent_kafka import Producer


def main(address, topic, codec, transaction):
    config = {"bootstrap.servers": address, "compression.type": codec, "enable.idempotence": True, "linger.ms": 20}
    if transaction:
        config["transactional.id"] = "kafkatest-python-" + topic
    producer = Producer(config)
    if transaction:
        producer.init_transactions(30)
        producer.begin_transaction()
    failed = []

    def delivered(error, _):
        if error is not None:
            failed.append(error)

    def binary(text):
        return None if text is None else base64.b64decode(text)

    for line in sys.stdin:
        record = json.loads(line)
        options = {"partition": record["partition"]} if record["partition"] >= 0 else {}
        if "timestamp_ms" in record:
            options["timestamp"] = record["timestamp_ms"]
        headers = [(h["Key"], binary(h["Value"])) for h in record["headers"] or []]
        while True:
            try:
                producer.produce(
                    topic,
                    key=binary(record["key"]),
                    value=binary(record["value"]),
                    headers=headers,
                    on_delivery=delivered,
                    **options,
                )
                break
            except BufferError:
                producer.poll(0.5)
    left = producer.flush(60)
    if transaction == "commit":
        producer.commit_transaction(30)
    elif transaction == "abort":
        producer.abort_transaction(30)
    if failed or left:
        sys.exit(f"{left} records were not sent, {len(failed)} failed: {failed[:3]}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else "")
