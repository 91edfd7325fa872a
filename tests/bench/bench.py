#!/usr/bin/env python3
"""Runs Kiln and its peers side by side: ./dev bench train|predict [--threads 1,2] [--peers torch,jax,...] [--quick]
[--networks lenet,...] [--compare OLD.json].

Every row is a network in one mode, batch size and number of threads. Each program is a process of its own that is
asked in turn for a short run of steps (A B C A B C ...), so that a drift of the machine's speed meets all alike.
Before anything is timed, the losses of the first steps, or the logits, are compared with PyTorch in float64.
Results: a table, and build/bench/SUITE.json.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ROOT / ".venv-peers/bin/python"
KILN = ROOT / "build/release/tests/bench/contestant"
RESULTS = ROOT / "build/bench"

PEERS = {
    "torch": ["peer_torch.py"],
    "torch.compile": ["peer_torch.py", "--compile"],
    "keras": ["peer_keras.py"],
    "jax": ["peer_jax.py"],
    "onnxruntime": ["peer_onnxruntime.py"],
    "openvino": ["peer_openvino.py"],
}
TARGETS = {  # best peer's time / ours
    "train": {"mlp": 2.0, "lenet": 3.0, "vgg11_quarter": 1.8, "googlenet": 1.5, "alexnet": 1.6},
    "predict": {"mlp": 1.1, "lenet": 1.8, "vgg11_quarter": 1.6, "googlenet": 1.2, "alexnet": 1.3},
    "predict_one": {"mlp": 2.0, "lenet": 2.5, "vgg11_quarter": 1.5, "googlenet": 1.1, "alexnet": 1.1},
}
TOLERANCE = 2e-3  # relative, of float32 against float64


def rows_of(suite, networks):
    if suite == "train":
        for name, network in networks.items():
            yield {"network": name, "mode": "train", "batch": network["batch"], "optimizer": "sgd"}
        for name in ("mlp", "lenet", "alexnet"):
            if name in networks:
                yield {"network": name, "mode": "train", "batch": networks[name]["batch"], "optimizer": "adam"}
    else:
        for batch in ("full", 1):
            for name, network in networks.items():
                yield {"network": name, "mode": "predict", "optimizer": None,
                       "batch": network["batch"] if batch == "full" else 1}


class Program:
    """One of the programs that are compared, in a process of its own on `threads` cores."""

    def __init__(self, name, command, threads):
        self.name = name
        cores = sorted(os.sched_getaffinity(0))[:threads]
        environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        environment["OMP_NUM_THREADS"] = str(threads)
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.log = open(RESULTS / f"{name}.log", "a")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        return json.loads(answer) if answer else {"error": f"it ended; see {self.log.name}"}

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def start_all(peers, threads):
    programs = [Program("kiln", [str(KILN)], threads)]
    for name in peers:
        programs.append(Program(name, [str(PYTHON), str(HERE / "peers" / PEERS[name][0]), *PEERS[name][1:],
                                       "--threads", str(threads)], threads))
    return programs


def agrees(check, reference):
    scale = max(abs(v) for v in reference)
    return len(check) == len(reference) and all(
        abs(a - b) <= TOLERANCE * max(scale, abs(b)) for a, b in zip(check, reference))


def measure(row, layers, threads, programs, reference, quick):
    """The row's result; it has no "kiln_ms" if Kiln could not run it."""
    has_dropout = row["mode"] == "train" and any(layer["op"] == "dropout" for layer in layers)
    expected = reference.ask(do="prepare", row={**row, "dropout": False})["check"] if reference else None
    result = {"suite": row["mode"], "row": row["network"], **row, "threads": threads, "peers": {}, "agree": True}
    ready = []
    for program in programs:
        answer = program.ask(do="prepare", row={**row, "dropout": False})
        if "error" not in answer:
            if expected and not agrees(answer["check"], expected):
                answer = {"error": f"disagrees: {answer['check'][:3]} instead of {expected[:3]}"}
                result["agree"] = result["agree"] and program.name != "kiln"
            elif has_dropout:
                answer = {**answer, **program.ask(do="prepare", row={**row, "dropout": True})}
        if "error" in answer:
            result["peers"][program.name] = answer["error"]
        else:
            ready.append((program, []))
            if program.name == "kiln":
                result["first_seconds"] = answer["first_seconds"]
                result["compile_seconds"] = answer["compile_seconds"]
    for repeat in range(1 + (3 if quick else 7)):
        for program, medians in ready:
            time.sleep(0.25)  # until the threads of the one before have stopped spinning
            answer = program.ask(do="time", seconds=0.15 if quick else 0.5)
            if repeat > 0:  # the first round warms up
                medians.append(answer["median_ms"])
    for program, medians in ready:
        if program.name == "kiln":
            quartiles = statistics.quantiles(medians, n=4)
            result["kiln_ms"] = statistics.median(medians)
            result["spread"] = (quartiles[2] - quartiles[0]) / result["kiln_ms"]
        else:
            result["peers"][program.name] = statistics.median(medians)
    times = {k: v for k, v in result["peers"].items() if not isinstance(v, str)}
    if times and "kiln_ms" in result:
        result["best_peer"] = min(times, key=times.get)
        result["ratio"] = times[result["best_peer"]] / result["kiln_ms"]
    kind = "predict_one" if row["mode"] == "predict" and row["batch"] == 1 else row["mode"]
    result["target"] = TARGETS[kind][row["network"]]
    return result


def title(result):
    optimizer = ", adam" if result["optimizer"] == "adam" else ""
    return f"{result['row']} x{result['batch']}{optimizer} {result['threads']}T"


def show(result, old):
    cells = [f"{title(result):28}"]
    if "kiln_ms" not in result:
        print(cells[0], "kiln:", result["peers"].get("kiln"))
        return
    cells.append(f"{result['kiln_ms']:9.3f} ms")
    for name in PEERS:
        value = result["peers"].get(name)
        if value is not None:
            cells.append(f"{name} {value:.3f}" if not isinstance(value, str) else f"{name} -")
    if "ratio" in result:
        reached = "reached" if result["ratio"] >= result["target"] else "not reached"
        cells.append(f"| {result['ratio']:.2f} of {result['best_peer']}, target {result['target']}: {reached}")
    before = old.get(title(result))
    if before:
        cells.append(f"| {before['kiln_ms'] / result['kiln_ms']:.2f} times as fast as before")
    print("  ".join(cells), flush=True)
    for name, value in result["peers"].items():
        if isinstance(value, str) and "only predicts" not in value:
            print(f"    {name}: {value}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=["train", "predict"])
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--networks")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--compare")
    args = parser.parse_args()
    networks = json.loads((HERE / "networks.json").read_text())
    if args.networks:
        networks = {name: networks[name] for name in args.networks.split(",")}
    peers = [name for name in args.peers.split(",") if name]
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        parser.error(f"unknown peers: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    if not PYTHON.exists():
        print("Without ./dev peers nothing can be compared: Kiln alone.", file=sys.stderr)
        peers = []
    old = {}
    if args.compare:
        old = {title(r): r for r in json.loads(pathlib.Path(args.compare).read_text()) if "kiln_ms" in r}

    print(f"load {os.getloadavg()[0]:.2f}" + (": NOT A QUIET MACHINE" if os.getloadavg()[0] > 0.7 else ""))
    results = []
    for threads in map(int, args.threads.split(",")):
        programs = start_all(peers, threads)
        reference = None
        if peers:
            reference = Program("reference", [str(PYTHON), str(HERE / "peers/peer_torch.py"), "--reference",
                                              "--threads", str(os.cpu_count())], os.cpu_count())
        for row in rows_of(args.suite, networks):
            results.append(measure(row, networks[row["network"]]["layers"], threads, programs, reference,
                                   args.quick))
            show(results[-1], old)
            (RESULTS / f"{args.suite}.json").write_text(json.dumps(results, indent=1))
        for program in programs + [reference] * bool(reference):
            program.close()
    if any(not r["agree"] or "kiln_ms" not in r for r in results):
        sys.exit("Kiln failed a row, or disagrees")


if __name__ == "__main__":
    main()
