package penstock.bench;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Keeps, for each user, a minute and an hour tile (count, sum, min, max of the amount) and the last
 * country: three keyed states an event, in RocksDB with a changelog. Runs until every record that the
 * topic held at the start is processed, or for a number of seconds, then closes, which flushes and
 * commits, and prints one line of JSON.
 *
 * <p>Options, each as name=value: bootstrap, topic, schema (a file), state (a folder), threads (1),
 * cache (bytes, 256 MiB), seconds (0: no limit).
 */
public final class Tiles {
  private static final AtomicLong processed = new AtomicLong();

  /** What a tile holds. */
  record Tile(long count, double sum, double min, double max) {
    static final Tile ZERO = new Tile(0, 0, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY);

    Tile add(double x) {
      return new Tile(count + 1, sum + x, Math.min(min, x), Math.max(max, x));
    }
  }

  /** The two columns that the states need. */
  record Payment(double amount, String country) {}

  public static void main(String[] args) throws Exception {
    long began = System.nanoTime();
    Map<String, String> o = options(args);
    String topic = o.get("topic");
    long total = records(o.get("bootstrap"), topic);

    Schema schema = new Schema.Parser().parse(Files.readString(Path.of(o.get("schema"))));
    Serde<Tile> tiles = Serdes.serdeFrom(tileSerializer(), tileDeserializer());
    StreamsBuilder builder = new StreamsBuilder();
    KGroupedStream<String, Payment> byUser =
        builder.stream(topic, Consumed.with(Serdes.String(), payments(schema)))
            .peek((k, v) -> processed.incrementAndGet())
            .groupByKey(Grouped.with(Serdes.String(), payments(schema)));
    tile(byUser, tiles, "minute", Duration.ofMinutes(1), Duration.ofHours(2));
    tile(byUser, tiles, "hour", Duration.ofHours(1), Duration.ofHours(26));
    byUser.aggregate(
        () -> "",
        (k, v, last) -> v.country(),
        Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as("last")
            .withKeySerde(Serdes.String())
            .withValueSerde(Serdes.String()));

    CountDownLatch closed = new CountDownLatch(1);
    AtomicReference<Throwable> failure = new AtomicReference<>();
    KafkaStreams streams = new KafkaStreams(builder.build(), properties(o));
    streams.setUncaughtExceptionHandler(
        e -> {
          failure.compareAndSet(null, e);
          closed.countDown();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.start();
    long limit = Long.parseLong(o.getOrDefault("seconds", "0"));
    long deadline = began + TimeUnit.SECONDS.toNanos(limit == 0 ? 86_400 : limit);
    while (processed.get() < total && System.nanoTime() < deadline && !closed.await(10, TimeUnit.MILLISECONDS)) {
      // Waiting is what the loop's condition does.
    }
    double open = (System.nanoTime() - began) / 1e9;
    if (!streams.close(Duration.ofMinutes(5)) && failure.get() == null) {
      failure.set(new IllegalStateException("not closed after five minutes"));
    }
    if (failure.get() != null) {
      failure.get().printStackTrace();
      System.exit(1);
    }
    double seconds = (System.nanoTime() - began) / 1e9;
    long n = processed.get();
    System.out.printf(
        "{\"events\": %d, \"of\": %d, \"seconds\": %.3f, \"open_seconds\": %.3f}%n",
        n, total, seconds, open);
    System.exit(0);
  }

  /**
   * A windowed state. Its retention is what a window of tiles is summed over, 1 h and 24 h, and more:
   * with the default, hardly longer than a tile, the store would open and drop segments all the time.
   */
  private static void tile(
      KGroupedStream<String, Payment> byUser, Serde<Tile> tiles, String name, Duration size, Duration retention) {
    byUser
        .windowedBy(TimeWindows.ofSizeAndGrace(size, Duration.ofMinutes(1)))
        .aggregate(
            () -> Tile.ZERO,
            (k, v, t) -> t.add(v.amount()),
            Materialized.<String, Tile, WindowStore<Bytes, byte[]>>as(name)
                .withKeySerde(Serdes.String())
                .withValueSerde(tiles)
                .withRetention(retention));
  }

  private static Properties properties(Map<String, String> o) {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, "tiles-" + UUID.randomUUID());
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, o.get("bootstrap"));
    p.put(StreamsConfig.STATE_DIR_CONFIG, o.get("state"));
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, o.getOrDefault("threads", "1"));
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, o.getOrDefault("cache", String.valueOf(256L << 20)));
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    p.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
    return p;
  }

  /** How many records the topic holds now. */
  private static long records(String bootstrap, String topic) throws Exception {
    Properties p = new Properties();
    p.put("bootstrap.servers", bootstrap);
    try (Admin admin = Admin.create(p)) {
      var partitions = admin.describeTopics(java.util.List.of(topic)).allTopicNames().get().get(topic).partitions();
      Map<TopicPartition, OffsetSpec> first = new HashMap<>();
      Map<TopicPartition, OffsetSpec> end = new HashMap<>();
      for (var x : partitions) {
        TopicPartition tp = new TopicPartition(topic, x.partition());
        first.put(tp, OffsetSpec.earliest());
        end.put(tp, OffsetSpec.latest());
      }
      var from = admin.listOffsets(first).all().get();
      var to = admin.listOffsets(end).all().get();
      return to.entrySet().stream()
          .collect(Collectors.summingLong(e -> e.getValue().offset() - from.get(e.getKey()).offset()));
    }
  }

  /** Decodes Confluent's framing and Avro's generic record; a decoder belongs to one thread. */
  private static Serde<Payment> payments(Schema schema) {
    ThreadLocal<Deserializer<Payment>> perThread =
        ThreadLocal.withInitial(
            () -> {
              var reader = new GenericDatumReader<GenericRecord>(schema);
              var state =
                  new Object() {
                    BinaryDecoder decoder;
                    GenericRecord record;
                  };
              return (topic, b) -> {
                try {
                  state.decoder = DecoderFactory.get().binaryDecoder(b, 5, b.length - 5, state.decoder);
                  state.record = reader.read(state.record, state.decoder);
                  return new Payment((double) state.record.get("amount"), state.record.get("country").toString());
                } catch (java.io.IOException e) {
                  throw new java.io.UncheckedIOException(e);
                }
              };
            });
    Serializer<Payment> none =
        (topic, v) -> {
          throw new UnsupportedOperationException("payments are not written");
        };
    return Serdes.serdeFrom(none, (topic, b) -> perThread.get().deserialize(topic, b));
  }

  private static Serializer<Tile> tileSerializer() {
    return (topic, t) ->
        t == null
            ? null
            : ByteBuffer.allocate(32).putLong(t.count()).putDouble(t.sum()).putDouble(t.min()).putDouble(t.max()).array();
  }

  private static Deserializer<Tile> tileDeserializer() {
    return (topic, bytes) -> {
      if (bytes == null) {
        return null;
      }
      ByteBuffer b = ByteBuffer.wrap(bytes);
      return new Tile(b.getLong(), b.getDouble(), b.getDouble(), b.getDouble());
    };
  }

  private static Map<String, String> options(String[] args) {
    Map<String, String> o = new HashMap<>();
    for (String a : args) {
      String[] kv = a.split("=", 2);
      if (kv.length != 2) {
        throw new IllegalArgumentException("want name=value, not " + a);
      }
      o.put(kv[0], kv[1]);
    }
    return o;
  }
}
