"""The features of bench/pipeline.yaml for the rows of a spine, by Polars.

Arguments: formulation, events (a glob of Parquet files), spine (Parquet), out (Parquet), processors, memory.

expr    rolling expressions over events and rows together, user by user
group   rolling groups over events and rows together
"""

import os
import sys

how, events, spine, out, processors, _ = sys.argv[1:]
os.environ["POLARS_MAX_THREADS"] = processors

import polars as pl  # noqa: E402  (it reads its number of threads when it is loaded)

SIZES = {"1h": "1h", "24h": "24h"}


def by_expr(both):
    """Kernels of their own, one user after the other."""
    made = []
    for name, size in SIZES.items():
        over = {"by": "at", "window_size": size, "closed": "left"}
        made += [
            pl.col("n").rolling_sum_by(**over).over("user_id").alias(f"amount_count_{name}"),
            pl.col("amount").rolling_sum_by(**over).over("user_id").alias(f"amount_sum_{name}"),
            pl.col("amount").rolling_mean_by(**over).over("user_id").alias(f"amount_avg_{name}"),
            pl.col("amount").rolling_min_by(**over).over("user_id").alias(f"amount_min_{name}"),
            pl.col("amount").rolling_max_by(**over).over("user_id").alias(f"amount_max_{name}"),
        ]
    return both.with_columns(made).filter(pl.col("row").is_not_null())


def by_group(both):
    """Groups of rows, with aggregates of any kind."""
    joined = both
    for name, size in SIZES.items():
        made = (
            both.rolling(index_column="at", period=size, closed="left", group_by="user_id")
            .agg(
                pl.col("amount").count().cast(pl.Int64).alias(f"amount_count_{name}"),
                pl.col("amount").sum().alias(f"amount_sum_{name}"),
                pl.col("amount").mean().alias(f"amount_avg_{name}"),
                pl.col("amount").min().alias(f"amount_min_{name}"),
                pl.col("amount").max().alias(f"amount_max_{name}"),
            )
            .drop("user_id", "at")
        )
        joined = pl.concat([joined, made], how="horizontal")
    return joined.filter(pl.col("row").is_not_null())


def main():
    log = pl.scan_parquet(events).select(
        "user_id", pl.col("ts").dt.replace_time_zone(None).cast(pl.Datetime("us")).alias("at"), "amount", "country"
    )
    asked = pl.scan_parquet(spine).select(
        "user_id", pl.col("event_time").dt.replace_time_zone(None).cast(pl.Datetime("us")).alias("at"), "row"
    )
    both = pl.concat(
        [log.select("user_id", "at", "amount", pl.lit(1, pl.Int64).alias("n")), asked], how="diagonal"
    ).sort("user_id", "at", maintain_order=True)
    made = (by_expr if how == "expr" else by_group)(both if how == "expr" else both.collect()).lazy()
    # The last value, and the count of all: a join with the event before the instant.
    counted = log.sort("at", maintain_order=True).with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("user_id").alias("transactions")
    ).select("user_id", "at", "transactions", pl.col("country").alias("last_country"))
    table = made.sort("at").join_asof(
        counted, on="at", by="user_id", strategy="backward", allow_exact_matches=False, check_sortedness=False
    )
    names = [f"amount_{f}_{w}" for w in SIZES for f in ("count", "sum", "avg", "min", "max")]
    table = table.with_columns(
        [pl.col("transactions").fill_null(0)]
        + [pl.col(f"amount_count_{w}").fill_null(0) for w in SIZES]
        + [pl.when(pl.col(f"amount_count_{w}") > 0).then(pl.col(f"amount_sum_{w}")).alias(f"amount_sum_{w}") for w in SIZES]
    )
    table.sort("row").select("user_id", pl.col("at").alias("event_time"), "row", "last_country", "transactions", *names).collect().write_parquet(out)


main()
