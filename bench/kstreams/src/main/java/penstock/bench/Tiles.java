package penstock.bench;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
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
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.ReadOnlyWindowStore;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Keeps, for each user, minute and hour tiles (count, sum, min, max of the amount) and the count, time
 * and country of the last event: three keyed states an event, in RocksDB with a changelog, from which
 * the 12 features are answered. Runs until every record that the topic held at the start is processed,
 * or for a number of seconds, answers the features of the users of a file (not timed), then closes,
 * which flushes and commits, and prints one line of JSON.
 *
 * <p>Options, each as name=value: bootstrap, topic, schema (a file), state (a folder), threads (1),
 * cache (bytes, 256 MiB), seconds (0: no limit), warm (seconds, 15), users (a file), at (milliseconds, a
 * whole hour), answers (a file).
 */
public final class Tiles {
  private static final long MINUTE = 60_000;
  private static final long HOUR = 60 * MINUTE;
  private static final AtomicLong processed = new AtomicLong();
  private static final AtomicLongArray positions = new AtomicLongArray(1024); // records, by partition

  /** What a tile holds. */
  record Tile(long count, double sum, double min, double max) {
    static final Tile ZERO = new Tile(0, 0, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY);

    Tile add(double x) {
      return new Tile(count + 1, sum + x, Math.min(min, x), Math.max(max, x));
    }
  }

  /** The columns that the states need. */
  record Payment(double amount, String country, long at) {}

  /** What is kept beside the tiles. */
  record Last(long count, long at, String country) {
    static final Last NONE = new Last(0, Long.MIN_VALUE, "");

    Last add(Payment p) {
      return p.at() >= at ? new Last(count + 1, p.at(), p.country()) : new Last(count + 1, at, country);
    }
  }

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
            .processValues(Counter::new)
            .groupByKey(Grouped.with(Serdes.String(), payments(schema)));
    tile(byUser, tiles, "minute", Duration.ofMinutes(1), Duration.ofHours(2));
    tile(byUser, tiles, "hour", Duration.ofHours(1), Duration.ofHours(26));
    byUser.aggregate(
        () -> Last.NONE,
        (k, v, last) -> last.add(v),
        Materialized.<String, Last, KeyValueStore<Bytes, byte[]>>as("last")
            .withKeySerde(Serdes.String())
            .withValueSerde(Serdes.serdeFrom(lastSerializer(), lastDeserializer())));

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
    double warm = Double.parseDouble(o.getOrDefault("warm", "15"));
    double limit = Double.parseDouble(o.getOrDefault("seconds", "0"));
    double warmSeconds = 0;
    long warmEvents = 0;
    while (processed.get() < total && (limit == 0 || since(began) < limit) && !closed.await(10, TimeUnit.MILLISECONDS)) {
      if (warmSeconds == 0 && since(began) >= warm) {
        warmEvents = processed.get();
        warmSeconds = since(began);
      }
    }
    double open = since(began);
    if (failure.get() == null && o.containsKey("answers")) {
      streams.pause();
      for (long before = -1; before != processed.get(); TimeUnit.MILLISECONDS.sleep(200)) {
        before = processed.get(); // until what was under way when paused is through
      }
      answer(streams, o);
    }
    long closing = System.nanoTime();
    if (!streams.close(Duration.ofMinutes(5)) && failure.get() == null) {
      failure.set(new IllegalStateException("not closed after five minutes"));
    }
    if (failure.get() != null) {
      failure.get().printStackTrace();
      System.exit(1);
    }
    StringBuilder read = new StringBuilder();
    for (int i = 0; i < positions.length(); i++) {
      if (positions.get(i) > 0) {
        read.append(read.length() > 0 ? ", " : "").append("\"" + i + "\": " + positions.get(i));
      }
    }
    System.out.printf(
        "{\"events\": %d, \"of\": %d, \"seconds\": %.3f, \"open_seconds\": %.3f, \"warm_events\": %d, \"warm_seconds\": %.3f, \"positions\": {%s}}%n",
        processed.get(), total, open + since(closing), open, warmEvents, warmSeconds, read);
    System.exit(0);
  }

  private static double since(long began) {
    return (System.nanoTime() - began) / 1e9;
  }

  /** Counts what is processed, by partition. */
  private static final class Counter implements FixedKeyProcessor<String, Payment, Payment> {
    private FixedKeyProcessorContext<String, Payment> context;

    @Override
    public void init(FixedKeyProcessorContext<String, Payment> c) {
      context = c;
    }

    @Override
    public void process(FixedKeyRecord<String, Payment> r) {
      positions.incrementAndGet(context.recordMetadata().get().partition());
      context.forward(r);
      processed.incrementAndGet();
    }
  }

  /** Writes a line a user: id, count, last country, then count, sum, min, max of 1 h and of 24 h. */
  private static void answer(KafkaStreams streams, Map<String, String> o) throws java.io.IOException {
    long at = Long.parseLong(o.get("at"));
    ReadOnlyKeyValueStore<String, Last> last =
        streams.store(StoreQueryParameters.fromNameAndType("last", QueryableStoreTypes.keyValueStore()));
    ReadOnlyWindowStore<String, Tile> minutes =
        streams.store(StoreQueryParameters.fromNameAndType("minute", QueryableStoreTypes.windowStore()));
    ReadOnlyWindowStore<String, Tile> hours =
        streams.store(StoreQueryParameters.fromNameAndType("hour", QueryableStoreTypes.windowStore()));
    List<String> lines = new ArrayList<>();
    for (String user : Files.readAllLines(Path.of(o.get("users")))) {
      Last l = last.get(user);
      if (l != null) {
        lines.add(
            String.join(
                ",", user, Long.toString(l.count()), l.country(),
                window(minutes, user, at - HOUR, at - MINUTE), window(hours, user, at - 24 * HOUR, at - HOUR)));
      }
    }
    Files.write(Path.of(o.get("answers")), lines);
  }

  /** Count, sum, min and max of the tiles that begin in [from, to]. */
  private static String window(ReadOnlyWindowStore<String, Tile> tiles, String user, long from, long to) {
    Tile all = Tile.ZERO;
    try (var i = tiles.fetch(user, Instant.ofEpochMilli(from), Instant.ofEpochMilli(to))) {
      while (i.hasNext()) {
        Tile t = i.next().value;
        all = new Tile(all.count() + t.count(), all.sum() + t.sum(), Math.min(all.min(), t.min()), Math.max(all.max(), t.max()));
      }
    }
    return all.count() + "," + all.sum() + "," + all.min() + "," + all.max();
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
      var partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
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
                  return new Payment(
                      (double) state.record.get("amount"), state.record.get("country").toString(), (long) state.record.get("ts"));
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

  private static Serializer<Last> lastSerializer() {
    return (topic, l) -> {
      if (l == null) {
        return null;
      }
      byte[] country = l.country().getBytes(StandardCharsets.UTF_8);
      return ByteBuffer.allocate(16 + country.length).putLong(l.count()).putLong(l.at()).put(country).array();
    };
  }

  private static Deserializer<Last> lastDeserializer() {
    return (topic, bytes) -> {
      if (bytes == null) {
        return null;
      }
      ByteBuffer b = ByteBuffer.wrap(bytes);
      return new Last(b.getLong(), b.getLong(), new String(bytes, 16, bytes.length - 16, StandardCharsets.UTF_8));
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
