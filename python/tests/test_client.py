"""Tests against a running server of examples/transactions: PENSTOCK_URL says where, `go test ./python` starts one."""

import csv
import datetime as dt
import os
import tempfile
import unittest

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from penstock import Client, PenstockError

URL = os.environ.get("PENSTOCK_URL", "")
UTC = dt.timezone.utc
NOON = dt.datetime(2024, 3, 2, 12, tzinfo=UTC)


def spine() -> pa.Table:
    rows = [
        {"id": i, "user_id": user, "merchant_id": "fuel", "amount": 40.0, "event_time": NOON + dt.timedelta(hours=i)}
        for i, user in enumerate(["ada", "bob", "nobody", "ada"])
    ]
    return pa.Table.from_pylist(rows)


@unittest.skipUnless(URL, "PENSTOCK_URL is not set")
class ClientTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client(URL)

    def test_features(self) -> None:
        v = self.client.features(
            [{"user_id": "ada", "merchant_id": "fuel"}, {"user_id": "nobody", "merchant_id": "fuel"}],
            set="fraud", features=["amount_sum_1h", "abroad_24h", "known_merchant", "unusual"], request=[{"amount": 40}, {"amount": 1.5}],
            as_of="latest",
        )
        self.assertEqual(v.rows[0], {"amount_sum_1h": 42.51, "abroad_24h": 8, "known_merchant": True, "unusual": 0.354813518423772})
        self.assertEqual(v.status[1]["amount_sum_1h"], "not_found")
        self.assertEqual(v.event_time[0]["abroad_24h"], dt.datetime(2024, 3, 2, 13, 48, tzinfo=UTC))
        self.assertEqual(v.as_of, dt.datetime(2024, 3, 2, 13, 48, 0, 1, tzinfo=UTC))
        table = v.to_arrow()
        self.assertEqual(table.column_names, v.names)
        self.assertEqual(table.schema.field("amount_sum_1h").type, pa.float64())
        self.assertEqual(table.schema.field("abroad_24h").type, pa.int64())

    def test_features_of_a_table(self) -> None:
        one = self.client.features({"user_id": "ada"}, view="user_spend", as_of=NOON)
        many = self.client.features(pa.table({"user_id": ["ada", "ada"]}), view="user_spend", as_of="2024-03-02T12:00:00Z")
        self.assertEqual(many.rows, one.rows * 2)
        dotted = self.client.features({"user_id": "ada"}, features=["user_spend.last_country"], as_of=NOON)
        self.assertEqual(dotted.rows[0]["last_country"], one.rows[0]["last_country"])

    def test_export_equals_features(self) -> None:
        seen = []
        table = self.client.export(spine(), set="fraud", with_status=True, progress=seen.append)
        self.assertTrue(all(job["state"] == "running" for job in seen))
        self.assertEqual(table.num_rows, 4)
        for row in table.to_pylist():
            v = self.client.features(
                {"user_id": row["user_id"], "merchant_id": row["merchant_id"]}, set="fraud", request={"amount": row["amount"]}, as_of=row["event_time"],
            )
            self.assertEqual({n: row[n] for n in v.names}, v.rows[0])
            self.assertEqual({n: row[n + "__status"] for n in v.names}, v.status[0])

    def test_export_of_files(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "spine.parquet")
            pq.write_table(spine(), path)
            out = os.path.join(folder, "table.csv")
            self.assertIsNone(self.client.export(path, view="user_spend", features=["last_country"], out=out))
            with open(out, newline="") as f:
                rows = list(csv.DictReader(f))
            self.assertEqual([r["id"] for r in rows], ["0", "1", "2", "3"])
            self.assertEqual(os.listdir(folder).count("table.csv.part"), 0)

    def test_export_of_a_split(self) -> None:
        whole = self.client.export(export="fraud_training")
        parts = self.client.export(export="fraud_parts")
        self.assertEqual(list(parts), ["train", "validation", "test"])
        for name, table in parts.items():
            want = whole.filter(pa.compute.equal(whole["split"], name)).drop_columns(["split"])
            self.assertTrue(table.equals(want), name)
        self.assertEqual(sum(t.num_rows for t in parts.values()), whole.num_rows)
        with tempfile.TemporaryDirectory() as folder:
            self.assertIsNone(self.client.export(export="fraud_parts", out=os.path.join(folder, "f.parquet")))
            self.assertEqual(sorted(os.listdir(folder)), ["f.test.parquet", "f.train.parquet", "f.validation.parquet"])
            self.assertTrue(pq.read_table(os.path.join(folder, "f.test.parquet")).num_rows == parts["test"].num_rows > 0)

    def test_pipeline(self) -> None:
        exports = {x["name"]: x for x in self.client.pipeline()["exports"]}
        self.assertEqual(exports["fraud_parts"]["parts"], ["train", "validation", "test"])
        self.assertEqual(exports["fraud_training"]["spine"], "each event of transactions")

    def test_export_of_a_data_frame(self) -> None:
        try:
            import pandas
        except ImportError:
            self.skipTest("pandas is not installed")
        frame = pandas.DataFrame({"user_id": ["ada"], "event_time": [pandas.Timestamp(NOON)]})
        got = self.client.export(frame, view="user_spend").to_pandas()
        want = self.client.features({"user_id": "ada"}, view="user_spend", as_of=NOON).to_pandas()
        self.assertEqual(got["last_country"][0], want["last_country"][0])

    def test_explain(self) -> None:
        x = self.client.explain("amount_sum_24h", {"user_id": "ada"}, view="user_spend", as_of=NOON)
        v = self.client.features({"user_id": "ada"}, view="user_spend", features=["amount_sum_24h"], as_of=NOON)
        self.assertEqual(x["value"], v.rows[0]["amount_sum_24h"])
        self.assertEqual(x["inputs"][0]["rows_counted"], len(x["inputs"][0]["rows"]))

    def test_mistakes(self) -> None:
        with self.assertRaises(PenstockError) as e:
            self.client.features({"user_id": "ada"}, view="user_spent")
        self.assertEqual((e.exception.code, e.exception.status), ("unknown_view", 404))
        self.assertIn("user_spend", str(e.exception))
        with self.assertRaises(PenstockError) as e:
            self.client.export(pa.table({"user_id": ["ada"]}), view="user_spend")
        self.assertIn("event_time", str(e.exception))
        with self.assertRaises(ValueError):
            self.client.features({"user_id": "ada"})
        with self.assertRaises(ValueError):
            self.client.features({"user_id": "ada"}, view="user_spend", as_of=dt.datetime(2024, 3, 2))
        with self.assertRaises(ValueError):
            Client("localhost:8080")


class ValuesTest(unittest.TestCase):
    def test_round_trips(self) -> None:
        from penstock._values import from_json, to_json

        for value, kind in [
            (True, "boolean"), (2**53 + 1, "long"), (0.1, "double"), (float("inf"), "double?"), (b"\x00\xff", "bytes"),
            (dt.date(2024, 2, 29), "date"), (NOON, "timestamp?"), ([1.5, float("-inf")], "list of double"), ({"a": 1}, "map of long?"), (None, "long?"),
        ]:
            with self.subTest(value=value):
                self.assertEqual(from_json(to_json(value), kind), value)
        self.assertNotEqual(from_json(to_json(float("nan")), "double"), 0)


if __name__ == "__main__":
    unittest.main()
