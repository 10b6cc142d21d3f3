package penstock.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Keeps, for each user, minute and hour tiles (count, sum, min, max of the amount) and the count, time
 * and country of the last event: three keyed states an event, from which the 12 features are answered.
 * Runs in a local cluster inside this process until every record that the topic held at the start is
 * processed, or for a number of seconds, then stops with a savepoint, so that all is stored, and prints
 * one line of JSON. As the job drains, it answers the features of the users of a file.
 *
 * <p>Options, each as name=value: bootstrap, topic, schema (a file), state (a folder), backend (hashmap
 * or rocksdb), parallelism (2), checkpoint (seconds, 10), seconds (0: no limit), warm (seconds, 15),
 * users (a file), at (milliseconds, a whole hour), answers (a file).
 */
public final class FlinkTiles {
  private static final TypeInformation<Tuple4<Long, Double, Double, Double>> TILE =
      Types.TUPLE(Types.LONG, Types.DOUBLE, Types.DOUBLE, Types.DOUBLE);
  private static final TypeInformation<Tuple3<Long, Long, String>> LAST =
      Types.TUPLE(Types.LONG, Types.LONG, Types.STRING);
  private static final TypeInformation<Tuple4<String, Long, Double, String>> PAYMENT =
      Types.TUPLE(Types.STRING, Types.LONG, Types.DOUBLE, Types.STRING);

  private static final AtomicLong[] processed = new AtomicLong[16]; // by subtask
  private static final AtomicLongArray read = new AtomicLongArray(1024); // by partition
  private static final ConcurrentLinkedQueue<String> answers = new ConcurrentLinkedQueue<>();

  public static void main(String[] args) throws Exception {
    long began = System.nanoTime();
    Map<String, String> o = options(args);
    long total = records(o.get("bootstrap"), o.get("topic"));
    for (int i = 0; i < processed.length; i++) {
      processed[i] = new AtomicLong();
    }
    JobClient job = job(o).executeAsync("tiles");

    double warm = Double.parseDouble(o.getOrDefault("warm", "15"));
    double limit = Double.parseDouble(o.getOrDefault("seconds", "0"));
    double warmSeconds = 0;
    long warmEvents = 0;
    var failed = job.getJobExecutionResult();
    while (done() < total && !failed.isDone() && (limit == 0 || since(began) < limit)) {
      if (warmSeconds == 0 && since(began) >= warm) {
        warmEvents = done();
        warmSeconds = since(began);
      }
      TimeUnit.MILLISECONDS.sleep(10);
    }
    double open = since(began);
    if (failed.isDone()) {
      failed.get();
      throw new IllegalStateException("the job ended early");
    }
    String folder = Path.of(o.get("state"), "savepoint").toAbsolutePath().toUri().toString();
    try {
      job.stopWithSavepoint(true, folder, SavepointFormatType.NATIVE).get(5, TimeUnit.MINUTES);
    } catch (ExecutionException e) {
      failed.get(1, TimeUnit.MINUTES); // its own reason is the better one
      throw e;
    }
    double seconds = since(began);
    failed.get(1, TimeUnit.MINUTES);
    if (o.containsKey("answers")) {
      Files.write(Path.of(o.get("answers")), answers);
    }
    StringBuilder positions = new StringBuilder();
    for (int i = 0; i < read.length(); i++) {
      if (read.get(i) > 0) {
        positions.append(positions.length() > 0 ? ", " : "").append("\"" + i + "\": " + read.get(i));
      }
    }
    System.out.printf(
        "{\"events\": %d, \"of\": %d, \"seconds\": %.3f, \"open_seconds\": %.3f, \"warm_events\": %d, \"warm_seconds\": %.3f, \"positions\": {%s}}%n",
        done(), total, seconds, open, warmEvents, warmSeconds, positions);
    System.exit(0);
  }

  private static StreamExecutionEnvironment job(Map<String, String> o) throws IOException {
    int parallelism = Integer.parseInt(o.getOrDefault("parallelism", "2"));
    if (parallelism > processed.length) {
      throw new IllegalArgumentException("parallelism is at most " + processed.length);
    }
    String backend = o.getOrDefault("backend", "hashmap");
    Configuration conf = new Configuration();
    conf.set(StateBackendOptions.STATE_BACKEND, backend);
    conf.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, backend.equals("rocksdb"));
    conf.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, Path.of(o.get("state"), "checkpoints").toAbsolutePath().toUri().toString());
    conf.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
    conf.set(PipelineOptions.OBJECT_REUSE, true);
    conf.set(PipelineOptions.GENERIC_TYPES, false);
    conf.set(TaskManagerOptions.NUM_TASK_SLOTS, parallelism);
    conf.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(backend.equals("rocksdb") ? 1024 : 64));
    StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(parallelism, conf);
    env.enableCheckpointing(Duration.ofSeconds(Long.parseLong(o.getOrDefault("checkpoint", "10"))).toMillis());

    KafkaSource<Tuple4<String, Long, Double, String>> source =
        KafkaSource.<Tuple4<String, Long, Double, String>>builder()
            .setBootstrapServers(o.get("bootstrap"))
            .setTopics(o.get("topic"))
            .setGroupId("tiles")
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setDeserializer(new Payments(Files.readString(Path.of(o.get("schema")))))
            .build();
    HashSet<String> sample = new HashSet<>(o.containsKey("users") ? Files.readAllLines(Path.of(o.get("users"))) : List.of());
    env.fromSource(source, WatermarkStrategy.noWatermarks(), "transactions")
        .keyBy(p -> p.f0, Types.STRING)
        .process(new Tiles(sample, Long.parseLong(o.getOrDefault("at", "0"))))
        .returns(Types.STRING)
        .sinkTo(new DiscardingSink<>());
    return env;
  }

  private static long done() {
    return Stream.of(processed).mapToLong(AtomicLong::get).sum();
  }

  private static double since(long began) {
    return (System.nanoTime() - began) / 1e9;
  }

  /** Decodes Confluent's framing and Avro's generic record to user, time, amount, country. */
  private static final class Payments implements KafkaRecordDeserializationSchema<Tuple4<String, Long, Double, String>> {
    private final String schema;
    private transient GenericDatumReader<GenericRecord> reader;
    private transient BinaryDecoder decoder;
    private transient GenericRecord record;

    Payments(String schema) {
      this.schema = schema;
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> r, Collector<Tuple4<String, Long, Double, String>> out)
        throws IOException {
      if (reader == null) {
        reader = new GenericDatumReader<>(new Schema.Parser().parse(schema));
      }
      decoder = DecoderFactory.get().binaryDecoder(r.value(), 5, r.value().length - 5, decoder);
      record = reader.read(record, decoder);
      read.lazySet(r.partition(), read.get(r.partition()) + 1); // one reader a partition
      out.collect(
          Tuple4.of(
              record.get("user_id").toString(),
              (Long) record.get("ts"),
              (Double) record.get("amount"),
              record.get("country").toString()));
    }

    @Override
    public TypeInformation<Tuple4<String, Long, Double, String>> getProducedType() {
      return PAYMENT;
    }
  }

  /** The three states, and the answers of the sampled users when the job is drained. */
  private static final class Tiles extends KeyedProcessFunction<String, Tuple4<String, Long, Double, String>, String> {
    private static final long MINUTE = 60_000;
    private static final long HOUR = 60 * MINUTE;
    private final HashSet<String> sample;
    private final long at;
    private transient MapState<Long, Tuple4<Long, Double, Double, Double>> minutes;
    private transient MapState<Long, Tuple4<Long, Double, Double, Double>> hours;
    private transient ValueState<Tuple3<Long, Long, String>> last;
    private transient AtomicLong count;

    Tiles(HashSet<String> sample, long at) {
      this.sample = sample;
      this.at = at;
    }

    @Override
    public void open(OpenContext context) {
      var runtime = getRuntimeContext();
      minutes = runtime.getMapState(new MapStateDescriptor<>("minute", Types.LONG, TILE));
      hours = runtime.getMapState(new MapStateDescriptor<>("hour", Types.LONG, TILE));
      last = runtime.getState(new ValueStateDescriptor<>("last", LAST));
      count = processed[runtime.getTaskInfo().getIndexOfThisSubtask()];
    }

    @Override
    public void processElement(Tuple4<String, Long, Double, String> p, Context context, Collector<String> out)
        throws Exception {
      add(minutes, Math.floorDiv(p.f1, MINUTE), p.f2);
      add(hours, Math.floorDiv(p.f1, HOUR), p.f2);
      Tuple3<Long, Long, String> l = last.value();
      if (l == null) {
        last.update(Tuple3.of(1L, p.f1, p.f3));
        if (sample.contains(p.f0)) {
          context.timerService().registerEventTimeTimer(Long.MAX_VALUE); // when drained
        }
      } else if (p.f1 >= l.f1) {
        last.update(Tuple3.of(l.f0 + 1, p.f1, p.f3));
      } else {
        last.update(Tuple3.of(l.f0 + 1, l.f1, l.f2));
      }
      count.lazySet(count.get() + 1);
    }

    private static void add(MapState<Long, Tuple4<Long, Double, Double, Double>> tiles, long tile, double x)
        throws Exception {
      var t = tiles.get(tile);
      tiles.put(
          tile,
          t == null ? Tuple4.of(1L, x, x, x) : Tuple4.of(t.f0 + 1, t.f1 + x, Math.min(t.f2, x), Math.max(t.f3, x)));
    }

    @Override
    public void onTimer(long timestamp, OnTimerContext context, Collector<String> out) throws Exception {
      var l = last.value();
      answers.add(
          String.join(
              ",", context.getCurrentKey(), l.f0.toString(), l.f2,
              window(minutes, (at - HOUR) / MINUTE, at / MINUTE),
              window(hours, (at - 24 * HOUR) / HOUR, at / HOUR)));
    }

    /** Count, sum, min and max of the tiles in [from, to). */
    private static String window(MapState<Long, Tuple4<Long, Double, Double, Double>> tiles, long from, long to)
        throws Exception {
      long n = 0;
      double sum = 0;
      double min = Double.POSITIVE_INFINITY;
      double max = Double.NEGATIVE_INFINITY;
      for (var e : tiles.entries()) {
        if (e.getKey() >= from && e.getKey() < to) {
          var t = e.getValue();
          n += t.f0;
          sum += t.f1;
          min = Math.min(min, t.f2);
          max = Math.max(max, t.f3);
        }
      }
      return n + "," + sum + "," + min + "," + max;
    }
  }

  /** How many records the topic holds now. */
  private static long records(String bootstrap, String topic) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      var partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
      Map<TopicPartition, OffsetSpec> first = new HashMap<>();
      Map<TopicPartition, OffsetSpec> end = new HashMap<>();
      for (var x : partitions) {
        first.put(new TopicPartition(topic, x.partition()), OffsetSpec.earliest());
        end.put(new TopicPartition(topic, x.partition()), OffsetSpec.latest());
      }
      var from = admin.listOffsets(first).all().get();
      var to = admin.listOffsets(end).all().get();
      return to.entrySet().stream().mapToLong(e -> e.getValue().offset() - from.get(e.getKey()).offset()).sum();
    }
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
