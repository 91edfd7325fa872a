"""Instructions of a prediction on a Cortex-M4, counted by qemu. Used by bench.py."""

import pathlib
import re
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
STARTS = HERE.parent.parent / "examples/embedded"
TARGET = {"target": "thumbv7em-none-eabihf", "cpu": "cortex-m4"}
BOARD = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-semihosting-config",
         "enable=on,target=native", "-icount", "shift=0", "-kernel"]
TICK = 40  # instructions: of 1 ns each, at the board's 25 MHz
RUNS = 4


def count(kiln, network):
    """{instructions, multiply_adds, code_bytes, scratch_bytes} of one image; raises if a tool is missing or fails."""
    with tempfile.TemporaryDirectory() as folder:
        answer = kiln.ask(do="export", network=network, path=f"{folder}/net", **TARGET)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        header = pathlib.Path(folder, "net.h").read_text()
        compiler = ["clang-19", f"--target={TARGET['target']}", f"-mcpu={TARGET['cpu']}", "-O2", "-ffreestanding",
                    f"-DRUNS={RUNS}", f"-I{folder}", f"-I{STARTS}", "-c"]
        for name, source in (("main", HERE / "device/count.c"), ("start", STARTS / "start_cortex_m.c")):
            subprocess.run([*compiler, str(source), "-o", f"{folder}/{name}.o"], check=True)
        subprocess.run(["ld.lld-19", "--gc-sections", "--entry=reset", "--defsym=CODE=0", "--defsym=RAM=0x20000000",
                        "-T", str(STARTS / "board.ld"), "-o", f"{folder}/program",
                        *(f"{folder}/{name}.o" for name in ("main", "start", "net"))], check=True)
        console = subprocess.run([*BOARD, f"{folder}/program"], check=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, timeout=120).stdout

    def number(pattern):
        return int(re.search(pattern + r" +(\d+)", header)[1])

    return {"instructions": int(console) * TICK / RUNS, "multiply_adds": number("Multiply-adds"),
            "code_bytes": number("Code bytes"), "scratch_bytes": number("NET_SCRATCH_BYTES")}
