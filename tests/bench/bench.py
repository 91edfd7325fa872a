#!/usr/bin/env python3
"""Runs Kiln and its peers side by side: ./dev bench SUITE... [--threads 1,2] [--peers torch,jax,...] [--quick]
[--networks lenet,...] [--compare OLD.json]. The suites:

    train, predict  a network's step; ratio = best peer's time / ours
    kernels         products, convolutions, elementwise ops, reductions alone
    embedded        one image by the exported function, linked as a library, on one thread; and how many
                    instructions it takes on a Cortex-M4; and the bytes that others take
    scale           networks over batch sizes; how time per sample grows
    compile         seconds of the first training step in a fresh process, and of them the compiler's: without the
                    disk cache, and with what an earlier process left in it
    memory          bytes that a training step needs beyond weights, slots and inputs

Every row is a network (or kernel) in one mode, batch size and number of threads. Each program is a process of its own
that is asked in turn for a short run of steps (A B C A B C ...), so that a drift of the machine's speed meets all
alike. Before anything is timed, the losses of the first steps, or the outputs, are compared with PyTorch in float64.
Results: a table, and build/bench/SUITE.json.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import device_counts
from networks import NETWORKS
from suites import COMPILE_TARGETS, MEMORY_TARGET, NEAR_ROOFLINE, TOLERANCE, roofline_ms, rows_of

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
    "litert": ["peer_litert.py"],
    "numpy": ["peer_numpy.py"],
}
SUITES = ("train", "predict", "embedded", "kernels", "scale", "compile", "memory")
# Whatever is freed goes back to the system at once: memory that malloc keeps from one step for the next would be
# counted as if it had been there before the step.
RETURNED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_MMAP_MAX_": "1000000", "MALLOC_TRIM_THRESHOLD_": "0",
                   "MALLOC_TOP_PAD_": "0"}


class Program:
    """One of the programs that are compared, in a process of its own on `threads` cores."""

    def __init__(self, name, command, threads, variables={}):
        self.name = name
        cores = sorted(os.sched_getaffinity(0))[:threads]
        environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "KILN_CACHE")}
        environment |= {"OMP_NUM_THREADS": str(threads), **variables}
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


def peer_command(name, threads):
    return [str(PYTHON), str(HERE / "peers" / PEERS[name][0]), *PEERS[name][1:], "--threads", str(threads)]


def start_all(peers, threads, variables={}):
    return [Program("kiln", [str(KILN)], threads, variables),
            *(Program(name, peer_command(name, threads), threads, variables) for name in peers)]


def agrees(row, check, reference):
    """Losses agree by their size, results by how much they differ among themselves."""
    if len(check) != len(reference):
        return False
    scale = max(reference) - min(reference)
    if row["mode"] == "train":
        # Float64 on weights changed by 6e-8, float32's rounding, moves ResNet's second loss by 0.02 %, its third by
        # 1.8 %.
        reference = reference[: NETWORKS[row["network"]].get("checked_losses", 3)]
        scale = max(reference)
    return all(abs(a - b) <= row.get("tolerance", TOLERANCE) * scale for a, b in zip(check, reference))


def prepare(row, programs, reference):
    """Lets every program make the row's first steps. The result so far; {name: answer} of those that could."""
    layers = NETWORKS[row["network"]]["layers"] if "network" in row else []
    has_dropout = row["mode"] == "train" and any("rate" in layer for layer in layers)
    expected = reference.ask(do="prepare", row={**row, "dropout": False})["check"] if reference else None
    result, answers = {**row, "peers": {}, "agree": True}, {}
    for program in programs:
        answer = program.ask(do="prepare", row={**row, "dropout": False})
        if "error" not in answer and expected and not agrees(row, answer["check"], expected):
            answer = {"error": f"disagrees: {answer['check'][:3]} instead of {expected[:3]}"}
            result["agree"] = result["agree"] and program.name != "kiln"
        elif "error" not in answer and has_dropout:  # what is timed drops
            answer = {**answer, **program.ask(do="prepare", row={**row, "dropout": True})}
        if "error" in answer:
            result["peers"][program.name] = answer["error"]
        else:
            answers[program.name] = answer
    return result, answers


def measure(row, programs, reference, quick):
    """The row's result; it has no "kiln_ms" if Kiln could not run it."""
    result, answers = prepare(row, programs, reference)
    result["machine"] = programs[0].ask(do="machine")  # at the first row: the others have started and are idle
    result["roofline_ms"] = roofline_ms(row, result["machine"])
    ready = [(program, []) for program in programs if program.name in answers]
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
    return compared(result, "kiln_ms")


def first_step(row, commands, threads):
    """Seconds of the first step, each program in a fresh process; of Kiln also the compiler's share, and both with the
    program in the disk cache."""
    result = {**row, "peers": {}, "agree": True}

    def prepare_in_fresh_process(name, **variables):
        program = Program(name, commands[name], threads, variables)
        answer = program.ask(do="prepare", row={**row, "dropout": False})
        program.close()
        return answer

    for name in commands:
        answer = prepare_in_fresh_process(name)
        if "error" in answer:
            result["peers"][name] = answer["error"]
        elif name != "kiln":
            result["peers"][name] = answer["first_seconds"]
        else:
            result |= {"kiln_s": answer["first_seconds"], "compile_s": answer["compile_seconds"]}
            with tempfile.TemporaryDirectory() as cache:
                cached = [prepare_in_fresh_process(name, KILN_CACHE=cache) for _ in range(2)][1]
            result["agree"] = cached["from_cache"] and cached["check"] == answer["check"]
            result |= {"cached_kiln_s": cached["first_seconds"], "cached_compile_s": cached["compile_seconds"]}
    result["target_compile_s"] = COMPILE_TARGETS.get(row["network"])
    result.pop("target", None)
    return compared(result, "kiln_s")


def memory(row, programs):
    """MiB that a step needs beyond what stays. Kiln's is its plan's arena, the peers' the growth that is seen."""
    result, answers = prepare(row, programs, None)
    result["target"] = 1 / MEMORY_TARGET
    for program in programs:
        if program.name == "kiln" and "kiln" in answers:
            result["kiln_MiB"] = answers["kiln"]["arena_bytes"] / 2**20
        elif program.name in answers:
            result["peers"][program.name] = program.ask(do="memory")["step_bytes"] / 2**20
    return compared(result, "kiln_MiB", ["torch"])


def compared(result, ours, rivals=PEERS):
    """With the best peer of these, and the ratio to it."""
    numbers = {k: v for k, v in result["peers"].items() if k in rivals and not isinstance(v, str)}
    if numbers and ours in result:
        result["best_peer"] = min(numbers, key=numbers.get)
        result["ratio"] = numbers[result["best_peer"]] / result[ours]
    return result


def title(result):
    optimizer = ", adam" if result.get("optimizer") == "adam" else ""
    batch = f" x{result['batch']}" if "batch" in result else ""
    mode = f"{result['mode']} " if result["suite"] in ("scale", "memory", "compile") else ""
    return f"{mode}{result['row']}{batch}{optimizer} {result['threads']}T"


def reached(result):
    """Whether the row's target is met; None if it has none, or nobody ran to tell."""
    if "compile_s" in result:
        target = result["target_compile_s"]
        return None if target is None else all(
            result[key] <= seconds for key, seconds in zip(("compile_s", "cached_compile_s"), target))
    if "target" not in result:
        return None
    near = "roofline_ms" in result and result["kiln_ms"] <= NEAR_ROOFLINE * result["roofline_ms"]
    return near or (result["ratio"] >= result["target"] if "ratio" in result else None)


def show(result, old):
    unit = next((unit for unit in ("ms", "s", "MiB") if f"kiln_{unit}" in result), None)
    if unit is None:
        print(f"{title(result):28} kiln: {result['peers'].get('kiln')}", flush=True)
        return
    ours = result[f"kiln_{unit}"]
    cells = [f"{title(result):28}", f"{ours:9.3f} {unit}"]
    if "compile_s" in result:
        cells.append(f"(compiler {result['compile_s']:.3f} s; from the disk cache {result['cached_kiln_s']:.3f} s, "
                     f"compiler {result['cached_compile_s']:.3f} s)")
    for name in PEERS:
        value = result["peers"].get(name)
        if value is not None:
            cells.append(f"{name} {value:.3f}" if not isinstance(value, str) else f"{name} -")
    if "ratio" in result:
        cells.append(f"| {result['ratio']:.2f} of {result['best_peer']}")
    if "roofline_ms" in result:
        cells.append(f"| {ours / result['roofline_ms']:.2f} x roofline")
    met = reached(result)
    if met is not None:
        target = result.get("target") or "{} s, cached {} s".format(*result["target_compile_s"])
        cells.append(f"| target {target}: {'reached' if met else 'not reached'}")
    before = old.get(title(result))
    if before and f"kiln_{unit}" in before:
        cells.append(f"| {before[f'kiln_{unit}'] / ours:.2f} times as good as before")
    print("  ".join(cells), flush=True)
    for name, value in result["peers"].items():
        if isinstance(value, str) and not value.startswith("NotImplementedError"):
            print(f"    {name}: {value}", flush=True)


def run_suite(suite, args, threads, peers):
    """Yields the results of the suite's rows."""
    names = args.networks.split(",") if args.networks else list(NETWORKS)
    rows = [{**row, "suite": suite, "threads": threads} for row in rows_of(suite, names)]
    if suite == "compile":
        commands = {"kiln": [str(KILN)], **{name: peer_command(name, threads) for name in peers}}
        for row in rows:
            yield first_step(row, commands, threads)
        return
    programs = start_all(peers, threads, RETURNED_MEMORY if suite == "memory" else {})
    reference = None
    if peers and suite != "memory":
        reference = Program("reference", [*peer_command("torch", os.cpu_count()), "--reference"], os.cpu_count())
    for row in rows:
        yield memory(row, programs) if suite == "memory" else measure(row, programs, reference, args.quick)
    for program in programs + [reference] * bool(reference):
        program.close()


def show_device_counts(names):
    """Of the networks that a microcontroller has room for."""
    kiln = Program("kiln", [str(KILN)], 1)
    for name in names:
        try:
            counts = device_counts.count(kiln, name)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"{name} x1 on a Cortex-M4: {error}", flush=True)
            continue
        print(f"{name} x1 on a Cortex-M4: {counts['instructions']:.3g} instructions, {counts['multiply_adds']} "
              f"multiply-adds, {counts['multiply_adds'] / counts['instructions']:.3f} each; code "
              f"{counts['code_bytes']} bytes, scratch {counts['scratch_bytes']}", flush=True)
    kiln.close()


def show_peers_sizes(names):
    """What other ways to a device take for the same networks."""
    for name in names:
        command = [str(PYTHON), str(HERE / "peers/sizes.py"), name, "--threads", "1"]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ended.returncode != 0:
            print(f"{name} x1, sizes of the peers: {(ended.stderr.splitlines() or ['?'])[-1]}", flush=True)
            continue
        for peer, sizes in json.loads(ended.stdout.splitlines()[-1]).items():
            numbers = [f"{what} {sizes[what]} bytes" for what in ("code", "memory") if what in sizes]
            print(f"{name} x1, {peer}: {', '.join(numbers + [sizes['note']])}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", choices=SUITES, metavar="SUITE")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--networks")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--compare")
    args = parser.parse_args()
    peers = [name for name in args.peers.split(",") if name]
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        parser.error(f"unknown peers: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    if not PYTHON.exists():
        print("Without ./dev peers nothing can be compared: Kiln alone.", file=sys.stderr)
        peers = []
    old = {}
    if args.compare:
        old = {title(r): r for r in json.loads(pathlib.Path(args.compare).read_text())}

    print(f"load {os.getloadavg()[0]:.2f}" + (": NOT A QUIET MACHINE" if os.getloadavg()[0] > 0.7 else ""))
    failed = False
    for suite in args.suites:
        print(f"-- {suite}")
        results = []
        for threads in [1] if suite == "embedded" else map(int, args.threads.split(",")):
            for result in run_suite(suite, args, threads, peers):
                if "machine" in result and threads not in (r["threads"] for r in results):
                    machine = result["machine"]
                    print(f"{threads} threads: {machine['gflops']:.0f} GF/s, {machine['gbytes_per_second']:.1f} GB/s")
                results.append(result)
                show(result, old)
                failed = failed or not result["agree"] or "kiln" in result["peers"]
                (RESULTS / f"{suite}.json").write_text(json.dumps(results, indent=1))
        if suite == "embedded":
            small = [n for n in ("mlp", "lenet") if n in (args.networks or "mlp,lenet").split(",")]
            show_device_counts(small)
            if peers:
                show_peers_sizes(small)
    if failed:
        sys.exit("Kiln failed a row, or disagrees")


if __name__ == "__main__":
    main()
