# %% [markdown]
# # Will a flight arrive more than 15 minutes late?
#
# Trains a model on the export of this example, and scores it through serving. Each `# %%` is a cell: open the
# file in a notebook, or run it as it is. It needs a server that has read the flights, the spine of the export,
# and the packages penstock (`python/`), pandas and scikit-learn.

# %%
import os
import time

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from penstock import Client

client = Client(os.environ.get("PENSTOCK_URL", "http://localhost:8080"))
spine = os.environ.get("SPINE", "demo/spine.csv")

# %% [markdown]
# The training table: a row for each flight of the spine, with the 23 features as of an hour before its scheduled departure.

# %%
began = time.perf_counter()
table = client.export(spine, set="departure_risk").to_pandas()
print(f"exported {len(table)} rows in {time.perf_counter() - began:.1f} s")

inputs = [f["name"] for s in client.pipeline()["sets"] if s["name"] == "departure_risk" for f in s["features"]]
table = table.astype({"late": int}).sort_values("event_time", ignore_index=True)

# %% [markdown]
# Train on the first four fifths of the year, judge by the rest: later flights tell nothing about earlier ones.

# %%
cut = int(len(table) * 0.8)
past, future = table[:cut], table[cut:]
model = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, random_state=0)
model.fit(past[inputs].astype(float).to_numpy(), past["late"])
offline = model.predict_proba(future[inputs].astype(float).to_numpy())[:, 1]
print(f"{len(past)} flights to learn from, {len(future)} to judge by, {future['late'].mean():.3f} of them late")
print(f"AUC {roc_auc_score(future['late'], offline):.4f}")

# %% [markdown]
# In production the vector of a flight is looked up. Served at the same instants, the features must be those of the
# export, bit for bit, and so must the scores.

# %%
some = future.iloc[:: max(1, len(future) // 200)]
request = [c["name"] for s in client.pipeline()["sets"] if s["name"] == "departure_risk" for c in s["request"]]
rows, took = [], []
for flight in some.to_dict("records"):
    began = time.perf_counter()
    vector = client.features(
        {k: flight[k] for k in ("origin", "carrier", "tailnum")},
        set="departure_risk",
        request={k: flight[k] if k == "scheduled" else float(flight[k]) for k in request},
        as_of=flight["event_time"],
    )
    took.append(time.perf_counter() - began)
    rows.append([np.nan if vector.rows[0][n] is None else float(vector.rows[0][n]) for n in inputs])
served = np.array(rows)
exported = some[inputs].astype(float).to_numpy()
same = (served == exported) | (np.isnan(served) & np.isnan(exported))
online = model.predict_proba(served)[:, 1]
print(f"{len(some)} flights scored through serving, median {1000 * np.median(took):.1f} ms each")
print(f"{(~same).sum()} of {same.size} values differ from the export, scores by {np.abs(online - offline[some.index - cut]).max():.1f} at most")
assert same.all()
