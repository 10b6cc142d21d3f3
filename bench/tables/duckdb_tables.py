"""The features of bench/pipeline.yaml for the rows of a spine, by DuckDB.

Arguments: formulation, events (a glob of Parquet files), spine (Parquet), out (Parquet), processors, memory.

asof    counts, sums and averages are differences of running sums, found by ASOF joins at both ends of each
        window; the last value and the count of all come with the join at the instant. Least and greatest values are
        no differences: RANGE windows over events and rows together.
range   everything by RANGE windows over events and rows together.
"""

import sys

import duckdb

TOGETHER = """
    SELECT user_id, epoch_us(ts::TIMESTAMP) AS t, amount, country, NULL::BIGINT AS row, 1 AS n FROM events
    UNION ALL
    SELECT user_id, epoch_us(event_time::TIMESTAMP), NULL, NULL, row, NULL FROM spine
"""

# Half-open, to the microsecond: [T - size, T).
WINDOWS = """
    h AS (PARTITION BY user_id ORDER BY t RANGE BETWEEN 3600000000 PRECEDING AND 1 PRECEDING),
    d AS (PARTITION BY user_id ORDER BY t RANGE BETWEEN 86400000000 PRECEDING AND 1 PRECEDING)
"""

RANGE = f"""
COPY (
  SELECT s.user_id, s.event_time, s.row, w.* EXCLUDE (row)
  FROM spine s JOIN (
    SELECT row,
      last(country IGNORE NULLS) OVER l AS last_country, count(n) OVER l AS transactions,
      count(amount) OVER h AS amount_count_1h, sum(amount) OVER h AS amount_sum_1h, avg(amount) OVER h AS amount_avg_1h,
      min(amount) OVER h AS amount_min_1h, max(amount) OVER h AS amount_max_1h,
      count(amount) OVER d AS amount_count_24h, sum(amount) OVER d AS amount_sum_24h, avg(amount) OVER d AS amount_avg_24h,
      min(amount) OVER d AS amount_min_24h, max(amount) OVER d AS amount_max_24h
    FROM ({TOGETHER})
    WINDOW {WINDOWS}, l AS (PARTITION BY user_id ORDER BY t RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    QUALIFY row IS NOT NULL
  ) w USING (row) ORDER BY s.row
) TO '{{out}}' (FORMAT parquet)
"""

ASOF = f"""
COPY (
  WITH sums AS (
    SELECT user_id, epoch_us(ts::TIMESTAMP) AS t, country,
      count(*) OVER u AS n, sum(amount) OVER u AS total
    FROM events WINDOW u AS (PARTITION BY user_id ORDER BY ts)  -- events of one instant have the same sums
  ), asked AS (
    SELECT *, epoch_us(event_time::TIMESTAMP) AS t, epoch_us(event_time::TIMESTAMP) - 3600000000 AS t_1h,
      epoch_us(event_time::TIMESTAMP) - 86400000000 AS t_24h FROM spine
  ), ends AS (
    SELECT s.row, e.country, coalesce(e.n, 0) AS n, coalesce(e.total, 0) AS total,
      coalesce(e.n, 0) - coalesce(h.n, 0) AS n_1h, e.total - coalesce(h.total, 0) AS total_1h,
      coalesce(e.n, 0) - coalesce(d.n, 0) AS n_24h, e.total - coalesce(d.total, 0) AS total_24h
    FROM asked s
    ASOF LEFT JOIN sums e ON s.user_id = e.user_id AND s.t > e.t
    ASOF LEFT JOIN sums h ON s.user_id = h.user_id AND s.t_1h > h.t
    ASOF LEFT JOIN sums d ON s.user_id = d.user_id AND s.t_24h > d.t
  ), extremes AS (
    SELECT row, min(amount) OVER h AS min_1h, max(amount) OVER h AS max_1h, min(amount) OVER d AS min_24h, max(amount) OVER d AS max_24h
    FROM ({TOGETHER}) WINDOW {WINDOWS} QUALIFY row IS NOT NULL
  )
  SELECT s.user_id, s.event_time, s.row, e.country AS last_country, e.n AS transactions,
    n_1h AS amount_count_1h, CASE WHEN n_1h > 0 THEN total_1h END AS amount_sum_1h, CASE WHEN n_1h > 0 THEN total_1h / n_1h END AS amount_avg_1h,
    min_1h AS amount_min_1h, max_1h AS amount_max_1h,
    n_24h AS amount_count_24h, CASE WHEN n_24h > 0 THEN total_24h END AS amount_sum_24h, CASE WHEN n_24h > 0 THEN total_24h / n_24h END AS amount_avg_24h,
    min_24h AS amount_min_24h, max_24h AS amount_max_24h
  FROM spine s JOIN ends e USING (row) JOIN extremes x USING (row) ORDER BY s.row
) TO '{{out}}' (FORMAT parquet)
"""


def main():
    how, events, spine, out, processors, memory = sys.argv[1:]
    db = duckdb.connect(config={"threads": processors})
    if memory:
        db.execute(f"SET memory_limit = '{memory}'")
    db.execute(f"CREATE VIEW events AS SELECT user_id, amount, country, ts FROM read_parquet('{events}')")
    db.execute(f"CREATE VIEW spine AS SELECT user_id, event_time, row FROM read_parquet('{spine}')")
    db.execute({"asof": ASOF, "range": RANGE}[how].format(out=out))


main()
