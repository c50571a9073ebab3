"""Boosted networks against networks of the same size trained at once.

Run:  python experiments/core/gbnn.py

Wine, breast cancer (10 folds each) and digits (5 folds) of scikit-learn,
features standardised on the training folds: 200 hidden sigmoid units added one
by one, full and cut to the first half, beside scikit-learn's MLPClassifier
with 200 of them (Adam: 200 epochs; L-BFGS: 200 iterations). Nothing is tuned.
"""

import json
import pathlib
import warnings

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from sklearn import datasets, model_selection, neural_network, preprocessing

from jaxcls import classifiers

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
FOLDS = dict(wine=10, breast_cancer=10, digits=5)
UNITS = 200


def accuracies(train, test, num_classes, seed):
  """{method: test accuracy}, and the boosted network's training losses."""
  fit = jax.jit(
    lambda x, y, key: classifiers.fit_boosted_network(
      x, y, num_classes=num_classes, key=key, total_units=UNITS
    )
  )
  params = fit(*map(jnp.asarray, train), jax.random.key(seed))
  score = lambda logits: float((logits.argmax(axis=-1) == test[1]).mean())
  predict = lambda n: score(
    classifiers.predict_boosted_network(
      params, jnp.asarray(test[0]), num_steps=n
    )
  )
  found = {"boosted": predict(UNITS), "boosted, half": predict(UNITS // 2)}
  for solver in ("adam", "lbfgs"):
    network = neural_network.MLPClassifier(
      (UNITS,), activation="logistic", solver=solver, max_iter=200,
      random_state=seed,
    )  # fmt: skip
    found[solver] = network.fit(*train).score(*test)
  return found, np.asarray(params["loss"])


def main():
  """Prints the table, writes results and plot."""
  warnings.filterwarnings("ignore", module="sklearn")
  results = {}
  figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
  for name, folds in FOLDS.items():
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    split = model_selection.StratifiedKFold(folds, shuffle=True, random_state=0)
    found, losses = [], []
    for seed, (train, test) in enumerate(split.split(x, y)):
      scaler = preprocessing.StandardScaler().fit(x[train])
      scaled = scaler.transform(x).astype(np.float32)
      scores, loss = accuracies(
        (scaled[train], y[train]), (scaled[test], y[test]), int(y.max()) + 1,
        seed,
      )  # fmt: skip
      found.append(scores)
      losses.append(loss)
    results[name] = {k: [f[k] for f in found] for k in found[0]}
    results[name]["loss grew"] = int((np.diff(losses, axis=1) > 0).sum())
    cells = "  ".join(
      f"{k} {np.mean(v):.3f}+-{np.std(v, ddof=1):.3f}"
      for k, v in results[name].items()
      if k != "loss grew"
    )
    print(f"{name:14}  {cells}", flush=True)
    axis.semilogy(np.arange(1, UNITS + 1), np.mean(losses, 0), label=name)
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")
  axis.set(xlabel="hidden units", ylabel="training loss, nats")
  axis.legend()
  figure.savefig(RESULTS.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
  main()
