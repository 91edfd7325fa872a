"""Results of real Keras's metrics in float64, and their configurations.

Writes metrics.safetensors (numbers) and metrics.json (what they are of); README.md in this folder explains both. Run
by ./dev golden.
"""

from layer_cases import Cases  # before keras

from data_kinds import data
from formula import float32, uniform

import keras

cases = Cases()
index = {"compiled": [], "metrics": [], "configs": []}
BATCHES = 3


def compiled(name, metric_name, shape, y_true, weights=False):
    """compile(metrics=[metric_name]) or, weighted, compile(weighted_metrics=[...]), over three batches of two."""
    batch = (6,) + shape
    model = keras.Sequential([keras.layers.Input(shape), keras.layers.Activation("linear")])
    key = "weighted_metrics" if weights else "metrics"
    losses = {"labels": "sparse_categorical_crossentropy", "one_hot": "categorical_crossentropy",
              "binary": "binary_crossentropy", "signed": "mse"}
    model.compile(loss=losses[y_true], **{key: [metric_name]})
    true = data(y_true, f"{name}/y_true", batch)
    pred = float32(uniform(f"{name}/y_pred", batch))
    sample_weight = float32(uniform(f"{name}/sample_weight", (6,))) if weights else None
    result = model.evaluate(pred, true, batch_size=2, sample_weight=sample_weight, verbose=0, return_dict=True)
    (key,) = set(result) - {"loss"}
    cases.store(f"{name}/loss", result["loss"])
    cases.store(f"{name}/result", result[key])
    index["compiled"].append({"name": name, "metric": metric_name, "key": key, "shape": shape, "y_true": y_true,
                              "loss": losses[y_true], "sample_weight": weights})


def by_names():
    for weights in (False, True):
        suffix = "_weighted" if weights else ""
        compiled(f"accuracy_sparse{suffix}", "accuracy", (4,), "labels", weights)
        compiled(f"accuracy_categorical{suffix}", "accuracy", (4,), "one_hot", weights)
        compiled(f"accuracy_binary{suffix}", "accuracy", (1,), "binary", weights)
        compiled(f"accuracy_binary_several{suffix}", "accuracy", (3,), "binary", weights)
        compiled(f"metric_binary_accuracy{suffix}", "binary_accuracy", (3,), "binary", weights)
        compiled(f"metric_categorical_accuracy{suffix}", "categorical_accuracy", (4,), "one_hot", weights)
        compiled(f"metric_sparse_accuracy{suffix}", "sparse_categorical_accuracy", (4,), "labels", weights)
        compiled(f"metric_mse{suffix}", "mse", (3,), "signed", weights)
        compiled(f"metric_mae{suffix}", "mae", (3,), "signed", weights)
        compiled(f"metric_auc{suffix}", "AUC", (1,), "binary", weights)
        compiled(f"metric_precision{suffix}", "precision", (3,), "binary", weights)
        compiled(f"metric_rmse{suffix}", "RootMeanSquaredError", (3,), "signed", weights)
        compiled(f"metric_kld{suffix}", "kl_divergence", (4,), "one_hot", weights)


def make(kind, config):
    arguments = dict(config)
    if "axis" in arguments and isinstance(arguments["axis"], list):
        arguments["axis"] = tuple(arguments["axis"])
    return getattr(keras.metrics, kind)(**arguments)


def metric(kind, config, shape, y_true, y_pred, weights=None):
    """The result after each of three batches of this shape. `weights`: the shape of the samples' weights."""
    name = f"metric_{kind}_{len(index['metrics'])}"
    made = make(kind, config)
    for batch in range(BATCHES):
        true = data(y_true, f"{name}/y_true{batch}", shape)
        pred = data(y_pred, f"{name}/y_pred{batch}", shape)
        sample_weight = None if weights is None else float32(uniform(f"{name}/sample_weight{batch}", weights))
        values = (pred,) if kind in ("Mean", "Sum") else (true, pred)
        made.update_state(*values, sample_weight=sample_weight)
        cases.store(f"{name}/result{batch}", made.result())
    index["metrics"].append({"name": name, "metric": kind, "config": config, "shape": shape, "y_true": y_true,
                             "y_pred": y_pred, "sample_weight": weights})


def both(kind, config, shape, y_true, y_pred, weights=None):
    """Without and with weights."""
    metric(kind, config, shape, y_true, y_pred)
    metric(kind, config, shape, y_true, y_pred, weights or shape[:1])


def ranks(kind, config, y_true, y_pred, shape=(6, 4), deep=(2, 3, 4)):
    both(kind, config, shape, y_true, y_pred)
    both(kind, config, deep, y_true, y_pred, deep[:2])


def means():
    for kind in ("Mean", "Sum"):
        both(kind, {}, (6,), "signed", "signed")
        ranks(kind, {}, "signed", "signed")
    for kind in ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "LogCoshError",
                 "RootMeanSquaredError"):
        ranks(kind, {}, "signed", "signed")
        both(kind, {}, (6, 1), "signed", "wide")
    ranks("MeanSquaredLogarithmicError", {}, "positive", "positive")
    for kind in ("Hinge", "SquaredHinge"):
        ranks(kind, {}, "plus_minus", "signed")
        ranks(kind, {}, "binary", "signed")
    ranks("CategoricalHinge", {}, "one_hot", "signed")
    ranks("KLDivergence", {}, "distribution", "distribution")
    ranks("Poisson", {}, "positive", "positive")
    for from_logits, y_pred in ((False, "probabilities"), (True, "logits")):
        for smoothing in (0.0, 0.2):
            config = {"from_logits": from_logits, "label_smoothing": smoothing}
            ranks("BinaryCrossentropy", config, "binary", y_pred)
            ranks("CategoricalCrossentropy", config, "one_hot", y_pred)
        ranks("SparseCategoricalCrossentropy", {"from_logits": from_logits}, "labels", y_pred)
        ranks("SparseCategoricalCrossentropy", {"from_logits": from_logits, "ignore_class": -1}, "gaps", y_pred)
        ranks("SparseCategoricalCrossentropy", {"from_logits": from_logits, "ignore_class": 2}, "labels", y_pred)
        both("CategoricalCrossentropy", {"from_logits": from_logits, "axis": 1}, (2, 3, 4), "distribution", y_pred,
             (2, 4))


def accuracies():
    ranks("Accuracy", {}, "quarters", "quarters")
    ranks("Accuracy", {}, "classes", "classes")
    for threshold in (0.25, 0.5, 0.75):
        ranks("BinaryAccuracy", {"threshold": threshold}, "binary", "uniform")
        both("BinaryAccuracy", {"threshold": threshold}, (6, 3), "binary", "quarters")
    for y_pred in ("uniform", "quarters"):
        ranks("CategoricalAccuracy", {}, "one_hot", y_pred)
        ranks("SparseCategoricalAccuracy", {}, "labels", y_pred)
    for k in (1, 2, 3, 5):
        for y_pred in ("uniform", "quarters"):
            ranks("TopKCategoricalAccuracy", {"k": k}, "one_hot", y_pred)
            ranks("SparseTopKCategoricalAccuracy", {"k": k}, "labels", y_pred)
        both("SparseTopKCategoricalAccuracy", {"k": k, "from_sorted_ids": True}, (6, 4), "labels", "classes")


def along_axes():
    for kind in ("CosineSimilarity", "PearsonCorrelation", "ConcordanceCorrelation"):
        ranks(kind, {}, "signed", "signed")
        ranks(kind, {}, "positive", "wide")
        both(kind, {"axis": 1}, (2, 3, 4), "signed", "signed", (2, 4))
    for aggregation in ("uniform_average", "variance_weighted_average"):
        for regressors in (0, 2, 100):
            config = {"class_aggregation": aggregation, "num_regressors": regressors}
            both("R2Score", config, (6, 3), "signed", "signed")
            both("R2Score", config, (6, 1), "positive", "positive")


def confusions():
    for kind in ("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives", "Precision", "Recall"):
        ranks(kind, {}, "binary", "uniform")
        both(kind, {}, (6,), "binary", "uniform")
        for thresholds in (0.25, [0.75], 0.0, 1.0):
            both(kind, {"thresholds": thresholds}, (6, 4), "binary", "quarters")
    for kind in ("Precision", "Recall"):
        for top_k in (1, 3):
            both(kind, {"top_k": top_k}, (6, 4), "one_hot", "uniform")
            both(kind, {"top_k": top_k, "thresholds": 0.5}, (6, 4), "binary", "quarters")
            both(kind, {"top_k": top_k, "class_id": 1}, (6, 4), "binary", "uniform")
        both(kind, {"class_id": 2}, (6, 4), "binary", "uniform")
        both(kind, {"class_id": 0, "thresholds": 0.25}, (6, 4), "binary", "quarters")


def curves():
    for curve in ("ROC", "PR", "PRGAIN"):
        for method in ("interpolation", "minoring", "majoring"):
            config = {"curve": curve, "summation_method": method}
            both("AUC", config, (12, 2), "binary", "uniform")
            both("AUC", {**config, "num_thresholds": 5}, (12, 2), "binary", "quarters")
            both("AUC", {**config, "thresholds": [0.9, 0.3, 0.35]}, (12, 2), "binary", "uniform")
            both("AUC", {**config, "multi_label": True, "num_thresholds": 9}, (12, 3), "binary", "uniform")
    for num_thresholds in (2, 3, 50):
        both("AUC", {"num_thresholds": num_thresholds}, (12, 1), "binary", "uniform")
    both("AUC", {"from_logits": True}, (12, 1), "binary", "logits")
    both("AUC", {}, (6,), "binary", "uniform")
    both("AUC", {}, (6, 2), "zeros", "uniform")
    both("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 0.5]}, (12, 3), "binary", "uniform")
    both("AUC", {"multi_label": True, "num_labels": 3, "curve": "PR"}, (12, 3), "binary", "quarters")
    both("AUC", {"label_weights": [1.0, 2.0, 0.5]}, (12, 3), "binary", "uniform")
    for kind, argument in (("SensitivityAtSpecificity", "specificity"), ("SpecificityAtSensitivity", "sensitivity"),
                           ("PrecisionAtRecall", "recall"), ("RecallAtPrecision", "precision")):
        for value in (0.0, 0.4, 0.8, 1.0):
            both(kind, {argument: value}, (12, 2), "binary", "uniform")
        for num_thresholds in (1, 2, 5):
            both(kind, {argument: 0.5, "num_thresholds": num_thresholds}, (12, 2), "binary", "quarters")
        both(kind, {argument: 0.3, "class_id": 1}, (12, 3), "binary", "uniform")


def f_scores():
    for average in ("micro", "macro", "weighted"):
        for threshold in (None, 0.25, 1.0):
            both("F1Score", {"average": average, "threshold": threshold}, (6, 4), "one_hot", "uniform")
            both("FBetaScore", {"average": average, "threshold": threshold, "beta": 0.5}, (6, 4), "binary", "quarters")
        both("FBetaScore", {"average": average, "beta": 2.0}, (6, 3), "one_hot", "quarters")
        both("F1Score", {"average": average}, (6, 3), "one_hot", "zeros")


def ious():
    # With a dtype that is a float Keras leaves weights as they are.
    for weights in (None, True):
        dtype = {"dtype": "float64"} if weights else {}

        def case(kind, config, shape, y_true, y_pred):
            flat = shape if y_true in ("classes", "binary") else shape[:-1]
            metric(kind, {**config, **dtype}, shape, y_true, y_pred, flat if weights else None)

        for ids in ([0], [1, 3], [0, 1, 2, 3]):
            case("IoU", {"num_classes": 4, "target_class_ids": ids}, (5, 4), "classes", "classes")
            case("OneHotIoU", {"num_classes": 4, "target_class_ids": ids}, (5, 4), "one_hot", "uniform")
        case("IoU", {"num_classes": 4, "target_class_ids": [0, 1], "ignore_class": 1}, (5, 4), "classes", "classes")
        case("IoU", {"num_classes": 2, "target_class_ids": [0, 1]}, (5, 4), "classes", "classes")
        case("IoU", {"num_classes": 6, "target_class_ids": [0, 5]}, (5, 4), "classes", "classes")
        case("IoU", {"num_classes": 4, "target_class_ids": [0, 2], "sparse_y_pred": False}, (5, 3, 4), "labels",
             "uniform")
        case("MeanIoU", {"num_classes": 4}, (5, 4), "classes", "classes")
        case("MeanIoU", {"num_classes": 4, "ignore_class": 0}, (2, 3, 4), "classes", "classes")
        case("MeanIoU", {"num_classes": 4, "ignore_class": -1, "sparse_y_pred": False}, (5, 3, 4), "gaps", "uniform")
        case("OneHotMeanIoU", {"num_classes": 4}, (2, 3, 4), "one_hot", "uniform")
        case("OneHotMeanIoU", {"num_classes": 4, "ignore_class": 2}, (6, 4), "one_hot", "uniform")
        for threshold in (0.25, 0.5, 0.7):
            case("BinaryIoU", {"threshold": threshold}, (5, 4), "binary", "quarters")
        case("BinaryIoU", {"target_class_ids": [1]}, (5, 4), "binary", "uniform")


def configs():
    """What get_config gives for these arguments, with Keras's default float. `forgotten`: those it doesn't have."""
    keras.config.set_floatx("float32")
    at = {"num_thresholds": 7, "class_id": 1}
    arguments = {
        "AUC": {"num_thresholds": 7, "curve": "PR", "summation_method": "minoring", "multi_label": True,
                "num_labels": 3, "from_logits": True},
        "BinaryAccuracy": {"threshold": 0.75},
        "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.1},
        "BinaryIoU": {"target_class_ids": [1], "threshold": 0.25},
        "CategoricalCrossentropy": {"from_logits": True, "label_smoothing": 0.1, "axis": 1},
        "ConcordanceCorrelation": {"axis": 1},
        "CosineSimilarity": {"axis": 1},
        "F1Score": {"average": "macro", "threshold": 0.25},
        "FBetaScore": {"average": "micro", "beta": 0.5, "threshold": 0.25},
        "FalseNegatives": {"thresholds": 0.25},
        "FalsePositives": {"thresholds": [0.25]},
        "IoU": {"num_classes": 3, "target_class_ids": [0, 2], "ignore_class": 1, "sparse_y_pred": False, "axis": 1},
        "MeanIoU": {"num_classes": 3, "ignore_class": 1, "sparse_y_true": False, "axis": 1},
        "OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 2], "ignore_class": 1, "sparse_y_pred": True},
        "OneHotMeanIoU": {"num_classes": 3, "ignore_class": 1, "axis": 1},
        "PearsonCorrelation": {"axis": 1},
        "Precision": {"thresholds": 0.25, "top_k": 2, "class_id": 1},
        "PrecisionAtRecall": {"recall": 0.5, **at},
        "R2Score": {"class_aggregation": "variance_weighted_average", "num_regressors": 2},
        "Recall": {"thresholds": 0.25, "top_k": 2, "class_id": 1},
        "RecallAtPrecision": {"precision": 0.5, **at},
        "SensitivityAtSpecificity": {"specificity": 0.5, **at},
        "SparseCategoricalCrossentropy": {"from_logits": True, "ignore_class": 255, "axis": 1},
        "SparseTopKCategoricalAccuracy": {"k": 2, "from_sorted_ids": True},
        "SpecificityAtSensitivity": {"sensitivity": 0.5, **at},
        "TopKCategoricalAccuracy": {"k": 2},
        "TrueNegatives": {"thresholds": 0.25},
        "TruePositives": {"thresholds": 0.25},
    }
    plain = ("Accuracy", "CategoricalAccuracy", "CategoricalHinge", "Hinge", "KLDivergence", "LogCoshError", "Mean",
             "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError",
             "Poisson", "RootMeanSquaredError", "SparseCategoricalAccuracy", "SquaredHinge", "Sum")
    needed = {"F1Score": {"average": "macro"}, "FBetaScore": {"average": "macro"}, "IoU": arguments["IoU"],
              "MeanIoU": {"num_classes": 3}, "OneHotIoU": arguments["OneHotIoU"],
              "OneHotMeanIoU": {"num_classes": 3}, "PrecisionAtRecall": {"recall": 0.5},
              "RecallAtPrecision": {"precision": 0.5}, "SensitivityAtSpecificity": {"specificity": 0.5},
              "SpecificityAtSensitivity": {"sensitivity": 0.5}}
    more = [("AUC", {"thresholds": [0.25, 0.5], "name": "auc"})]
    for kind in sorted({*arguments, *plain}):
        more.append((kind, {**needed.get(kind, {})}))
        more.append((kind, {**arguments.get(kind, {}), "name": "mine"}))
    for kind, given in more:
        keras.backend.clear_session()  # names are counted anew
        config = keras.metrics.serialize(make(kind, given))["config"]
        index["configs"].append({"name": f"{kind}{len(index['configs'])}", "class_name": kind, "given": given,
                                 "config": config, "forgotten": sorted(set(given) - set(config))})


if __name__ == "__main__":
    for part in (by_names, means, accuracies, along_axes, confusions, curves, f_scores, ious, configs):
        part()
    cases.save("metrics", **index)
