"""The gate: whole files against `openssl dgst` and model-signing; deep, streaming, one record.

Shallow verification is `zhixin verify` on a version of 1 GB in several parts that do not compress,
process start included, in turns with the peers over the same files in the page cache: by a pinned
trust alone, as somebody verifies who was handed it, and in a home, whose copy of the ledger tells
besides whether the version still stands. Deep verification is of a million flights and of ten,
process start included and not.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.bench import Bench, Version, medians, pairwise
from suite.machine import ROOT
from suite.peers import peer_python
from suite.process import Contestant, Sample, run_command
from suite.world import CLI, MEMBER

__all__ = ["measure_gate"]

ROW_BYTES = 1024
GIGABYTE = 1_000_000_000
FIRST = ROOT / "benchmarks" / "first_batch.py"
CONTRACT = f"""\
apiVersion: v3.2.0
kind: DataContract
id: {MEMBER}/flights
version: 1.0.0
status: active
name: Noise
servers: [{{server: noise, type: custom}}]
schema:
  - name: noise
    physicalName: noise.parquet
    logicalType: object
    properties:
      - {{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}}
      - {{name: noise, logicalType: string, logicalTypeOptions: {{format: binary}}}}
"""


def measure_gate(bench: Bench) -> dict[str, Any]:
    """Time all of it; gives the section of the results."""
    noise = _noise(bench, 20_000_000 if bench.quick else GIGABYTE)
    size = sum(part.stat().st_size for part in noise.parts)
    print(f" {size:,} bytes in {len(noise.parts)} parts", flush=True)
    shallow = _in_turns(bench, _commands(bench, noise))
    ratios = {
        "verify_vs_openssl": pairwise(shallow["verify"], shallow["openssl"], "process_s"),
        "verify_home_vs_openssl": pairwise(shallow["verify-home"], shallow["openssl"], "process_s"),
    }
    if "model-signing" in shallow:
        ratios["model_signing_vs_openssl"] = pairwise(
            shallow["model-signing"], shallow["openssl"], "process_s"
        )
        ratios["verify_vs_model_signing"] = pairwise(
            shallow["verify"], shallow["model-signing"], "process_s"
        )
    few, many = (1, 3) if bench.quick else (3, 30)
    samples = shallow
    for name, copies in (("deep", few), ("deep-large", many)):
        samples[name] = _deep(bench, name, bench.version(copies))
    samples["first-batch"] = _first_batch(bench, bench.version(many))
    samples["prove"] = _prove(bench, bench.version(many))
    middle = medians(samples)
    records, large = bench.version(few).records, bench.version(many).records
    return {
        "bytes": size,
        "parts": len(noise.parts),
        "records": records,
        "records_large": large,
        "ratios": ratios,
        "figures": {
            "verify_gb_per_s": size / 1e9 / middle["verify"]["process_s"],
            "deep_records_per_s": records / middle["deep"]["seconds"],
            "deep_records_per_s_process": records / middle["deep"]["process_s"],
            "deep_records_per_s_large": large / middle["deep-large"]["seconds"],
            "first_batch_s": middle["first-batch"]["first_batch_s"],
            "all_batches_s": middle["first-batch"]["seconds"],
            "prove_s": middle["prove"]["process_s"],
            "prove_peak_mb": middle["prove"]["process_peak_mb"],
        },
        "medians": middle,
        "samples": samples,
    }


def _noise(bench: Bench, size: int) -> Version:
    """A version of so many bytes that do not compress, published like any other."""
    print(f"making a version of {size:,} bytes", flush=True)
    contract = bench.world.folder / "noise.odcs.yaml"
    contract.write_text(CONTRACT)
    home = bench.world.home(contract)
    source = bench.folder("noise-source")
    schema = pa.schema([("id", pa.int64()), ("noise", pa.binary())])
    rows, group = size // ROW_BYTES, 32_768
    with pq.ParquetWriter(source / "noise.parquet", schema, compression="none") as writer:
        for start in range(0, rows, group):
            count = min(group, rows - start)
            offsets = pa.array(range(0, (count + 1) * ROW_BYTES, ROW_BYTES), pa.int32())
            data = pa.py_buffer(os.urandom(count * ROW_BYTES))
            noise = pa.Array.from_buffers(pa.binary(), count, [None, offsets.buffers()[1], data])
            keys = pa.array(range(start, start + count), pa.int64())
            writer.write_table(pa.table([keys, noise], schema=schema))
    settings = home / "zhixin.toml"
    settings.write_text(settings.read_text() + f'\n[sources.noise]\nurl = "file:{source}"\n')
    arguments = ["--home", str(home), "run", str(contract), "--json"]
    bench.run(bench.ours("noise"), arguments=arguments)
    (source / "noise.parquet").unlink()
    return Version(home, home / "store" / MEMBER / "flights" / "1", rows)


def _commands(bench: Bench, noise: Version) -> dict[str, list[str | Path]]:
    commands: dict[str, list[str | Path]] = {
        "openssl": ["openssl", "dgst", "-sha256", *noise.parts],
        "verify": [CLI, "verify", noise.path, "--trust", noise.home / "trust"],
        "verify-home": [CLI, "--home", noise.home, "verify", noise.path],
    }
    if "model-signing" in bench.peers:
        commands["model-signing"] = _signed(bench, noise)
    return commands


def _signed(bench: Bench, noise: Version) -> list[str | Path]:
    """Sign the same files, hard links of them, by model-signing; gives what verifies them."""
    tool = peer_python("model-signing").with_name("model_signing")
    keys = bench.folder("model-keys")
    private, public, signature = keys / "private.pem", keys / "public.pem", keys / "model.sig"
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "genpkey", *curve, "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    files = bench.folder("model")
    for part in noise.parts:
        (files / part.name).hardlink_to(part)
    subprocess.run(
        [tool, "sign", "key", "--private_key", private, "--signature", signature, files],
        check=True, capture_output=True,
    )  # fmt: skip
    return [tool, "verify", "key", "--public_key", public, "--signature", signature, files]


def _in_turns(bench: Bench, commands: dict[str, list[str | Path]]) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for number in bench.turns(bench.rounds):
        order = list(commands) if number % 2 else list(reversed(commands))
        for name in order:
            sample = run_command(commands[name], bench.scratch / f"{name}.log")
            bench.say(name, sample, f"{number}/{bench.rounds}" if number else "warm-up")
            if number:
                samples[name].append({**sample, "round": number})
    return samples


def _repeated(bench: Bench, contestant: Contestant, **job: Any) -> list[Sample]:
    """So many repetitions as all but ratios have."""
    samples = []
    for number in bench.turns(bench.others):
        sample = bench.run(contestant, **job)
        sample.pop("answer", None)
        bench.say(contestant.name, sample, f"{number}/{bench.others}" if number else "warm-up")
        if number:
            samples.append({**sample, "round": number})
    return samples


def _deep(bench: Bench, name: str, version: Version) -> list[Sample]:
    arguments = ["--home", str(version.home), "verify", str(version.path), "--deep", "--json"]
    return _repeated(bench, bench.ours(name), arguments=arguments)


def _first_batch(bench: Bench, version: Version) -> list[Sample]:
    job = {"home": str(version.home), "path": str(version.path)}
    return _repeated(bench, Contestant("first-batch", FIRST, job))


def _prove(bench: Bench, version: Version) -> list[Sample]:
    """One record of the large version by its key, process start included."""
    command: list[str | Path] = [CLI, "--home", version.home, "prove", version.path]
    command += ["--key", str(version.records // 2)]
    samples = []
    for number in bench.turns(bench.others):
        sample = run_command(command, bench.scratch / "prove.log")
        bench.say("prove", sample, f"{number}/{bench.others}" if number else "warm-up")
        if number:
            samples.append({**sample, "round": number})
    return samples
