"""What ./scripts/mutate does; its head says how it is used, test/mutations/README.md what it is for.

catch_in_core() and catch_on_server() look for a test that fails. All is done in a Workshop, a copy of the sources.
"""
import argparse
import difflib
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from mutations import TOP, Wrong, all_mutations, check, read_table, write_table

UNIT_SECONDS = 600
SIM_SECONDS = 900
SERVER_SECONDS = 1800
BUILD_SECONDS = 3600
SLOW_MILLISECONDS = 100
SIM_STEPS = int(os.environ.get("DW_MUTATE_STEPS", 2_000_000))


class Workshop:
    """A copy of the sources, and what is built of it."""

    def __init__(self, directory, jobs):
        self.tree = directory / "tree"
        self.build = directory / "build"
        self.objects = directory / "objects"
        self.sound = directory / "sound.json"
        self.log = directory / "log"
        self.jobs = jobs
        self.slow = []  # tests of core_tests
        self.tree.mkdir(parents=True, exist_ok=True)

    def note_times(self, output):
        if not self.slow:
            times = re.findall(r"^\[       OK \] ([\w/]+\.[\w/]+) \((\d+) ms\)", output, re.M)
            self.slow = [name for name, milliseconds in times if int(milliseconds) > SLOW_MILLISECONDS]

    def copy(self):
        """Only what differs is written, so only that is compiled again; a digest of what matters."""
        digest = hashlib.sha256(str(SIM_STEPS).encode())
        listed = ["git", "-C", str(TOP), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        inside = (TOP / ".git").exists()
        names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0") if inside else [
            str(path.relative_to(TOP)) for path in TOP.rglob("*") if path.is_file() or path.is_symlink()
        ]
        names = {name for name in names if name and os.path.lexists(TOP / name)}
        for path in list(self.tree.rglob("*")):
            if (path.is_file() or path.is_symlink()) and str(path.relative_to(self.tree)) not in names:
                path.unlink()
        for name in sorted(names):
            source, target = TOP / name, self.tree / name
            if name.startswith(("src/", "include/", "sql/", "test/", "expected/")) and not name.startswith("test/mutations/") and source.is_file():
                digest.update(name.encode() + source.read_bytes())
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_symlink():
                if not target.is_symlink():
                    target.symlink_to(os.readlink(source))
            elif not target.is_file() or target.read_bytes() != source.read_bytes():
                target.write_bytes(source.read_bytes())
                target.chmod(source.stat().st_mode)
        return digest.hexdigest()

    def write(self, texts):
        for path, text in texts.items():
            (self.tree / path).write_text(text)

    def restore(self, paths):
        self.write({path: (TOP / path).read_text() for path in paths})

    def run(self, command, seconds, **more):
        """(exit status, output); status None: it was killed because time was over."""
        with open(self.log, "w+", errors="replace") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **more)
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                end_group(process)
            out.seek(0)
            return status, out.read()

    def compile(self, target):
        """What the compiler says when it fails."""
        if not (self.build / "Makefile").exists():
            # Without inlining into tests and debugging data: it is compiled more often than run.
            status, output = self.run(
                ["cmake", "-S", self.tree, "-B", self.build, "-DCMAKE_BUILD_TYPE=Mutant",
                 "-DCMAKE_CXX_FLAGS_MUTANT=-O1", "-DDW_WERROR=OFF"], BUILD_SECONDS)
            if status != 0:
                return output
        status, output = self.run(
            ["cmake", "--build", self.build, "-j", str(self.jobs), "--target", target], BUILD_SECONDS)
        return "" if status == 0 else output


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def failed_test(output):
    """Of a run of core_tests that failed: the test that did, or that ran when the process ended."""
    failed = re.search(r"^\[  FAILED  \] ([\w/]+\.[\w/]+)", output, re.M)
    begun = re.findall(r"^\[ RUN      \] ([\w/]+\.[\w/]+)", output, re.M)
    return failed[1] if failed else begun[-1] if begun else "core_tests"


def run_shards(shop, which):
    """(the test that fails, whether it does not end, output of all); None: all that `which` names pass."""
    tests = [shop.build / "core_tests", "--gtest_fail_fast", "--gtest_color=no", f"--gtest_filter={which}"]
    shards = []
    for shard in range(shop.jobs):
        out = open(f"{shop.log}.{shard}", "w+", errors="replace")
        environment = {**os.environ, "GTEST_TOTAL_SHARDS": str(shop.jobs), "GTEST_SHARD_INDEX": str(shard)}
        shards.append((subprocess.Popen(tests, stdout=out, stderr=subprocess.STDOUT, env=environment,
                                        start_new_session=True), out))
    end = time.monotonic() + UNIT_SECONDS
    states = [None]
    while None in states and not any(states) and time.monotonic() < end:
        time.sleep(0.02)
        states = [process.poll() for process, _ in shards]
    outputs = []
    for process, out in shards:
        end_group(process)
        out.seek(0)
        outputs.append(out.read())
        out.close()
    for state, output in zip(states, outputs):
        if state:
            return failed_test(output), False, "".join(outputs)
    if None in states:
        return failed_test(outputs[states.index(None)]), True, "".join(outputs)
    return None, False, "".join(outputs)


def run_unit(shop, likely):
    """The first test that fails: the one that did last time, then those that are quick; None: all pass."""
    slow = ":".join(shop.slow)
    for which in (likely, "-" + slow if slow else "*", slow):
        name, hangs, output = run_shards(shop, which) if which else (None, False, "")
        if name:
            return name, hangs
    shop.note_times(output)
    return None, False


def run_sim(shop):
    status, output = shop.run([shop.build / "sim", "--steps", str(SIM_STEPS), "--jobs", str(shop.jobs)], SIM_SECONDS)
    if status == 0:
        return None, False
    if status is None:
        return "it does not come to an end", True
    seed = re.search(r"^seed \d+", output, re.M)
    rule = output.strip().split("\n")[0].split(": job")[0].split(" (")[0][:120]
    return f"{rule}, {seed[0]}" if seed else rule, False


def catch_in_core(shop, likely):
    """(where, what) of the first that catches the fault that is planted; (None, why): none."""
    problem = shop.compile("core_tests")
    if problem:
        return None, "does not compile:\n" + problem[-3000:]
    test, hangs = run_unit(shop, likely)
    if test:
        return "hang" if hangs else "unit", f"`{test}`"
    problem = shop.compile("sim")
    if problem:
        return None, "does not compile:\n" + problem[-3000:]
    rule, hangs = run_sim(shop)
    if rule:
        return "hang" if hangs else "simulation", rule
    return None, ""


def catch_on_server(shop, tries):
    arguments = [word for each in tries for word in each]
    status, output = shop.run([shop.tree / "scripts/lib/mutate_server", *arguments], SERVER_SECONDS,
                              env={**os.environ, "DW_BUILD_DIR": str(shop.objects), "DW_JOBS": str(shop.jobs)})
    failed = re.search(r"^failed: (\w+) (.*)$", output, re.M)
    if failed:
        return failed[1], f"`{failed[2]}`" if " " not in failed[2] else failed[2]
    if status is None:
        return "hang", " ".join(arguments)
    return None, "" if status == 0 else "the run broke off:\n" + output[-3000:]


def catch(shop, mutation, likely):
    where = what = None
    if mutation.is_in_core():
        where, what = catch_in_core(shop, likely)
        if where or what:
            return where, what
    if mutation.tries:
        where, what = catch_on_server(shop, mutation.tries)
    return where, what or ""


def require_sound(shop, mutations, digest):
    """Who fails without a fault catches nothing. Of the same sources that is known from the last time."""
    known = json.loads(shop.sound.read_text()) if shop.sound.is_file() else {}
    if known.get("digest") != digest:
        known = {"digest": digest, "slow": [], "core": False, "tries": []}
    shop.slow = known["slow"]
    if any(each.is_in_core() for each in mutations) and not known["core"]:
        where, what = catch_in_core(shop, None)
        if where or what:
            raise Wrong(f"without any fault: {where} {what}")
        known.update(core=True, slow=shop.slow)
        shop.sound.write_text(json.dumps(known))
    tries = {each for mutation in mutations for each in mutation.tries if list(each) not in known["tries"]}
    if tries:
        where, what = catch_on_server(shop, sorted(tries, key=lambda each: each[0] == "tap"))
        if where or what:
            raise Wrong(f"without any fault: {where} {what}")
        known["tries"] += sorted(tries)
        shop.sound.write_text(json.dumps(known))


def run_all(shop, mutations, record, every):
    known = read_table()
    survived = 0
    # Those of one file after the other: it is compiled once for each, and no other file with it.
    for number, each in enumerate(sorted(mutations, key=lambda each: (not each.is_in_core(), each.paths())), 1):
        begun = time.monotonic()
        likely = re.match(r"unit: `(.*)`", known.get(each.name, ("", ""))[1])
        shop.write(each.plant(TOP))
        try:
            where, what = catch(shop, each, likely[1] if likely else None)
        finally:
            shop.restore(each.paths())
        good = where is not None and (where != "hang" or each.hangs)
        survived += not good
        caught = f"{where}: {what}" if good else "**nothing**"
        note = "" if good else f" ({where or ''} {what})".replace(" ( )", "")
        print(f"{number}/{len(mutations)} {each.name} ({each.breaks}): {caught}{note} "
              f"[{time.monotonic() - begun:.0f} s]", flush=True)
        if record:
            write_table(every, {each.name: caught})
    return survived


def chosen(every, names):
    if not names:
        return every
    picked = [each for each in every
              if each.name in names or pathlib.Path(each.where.split(":")[0]).name in names]
    for name in names:
        if not any(name in (each.name, pathlib.Path(each.where.split(":")[0]).name) for each in picked):
            raise Wrong(f"there is no mutation '{name}'; see ./scripts/mutate --list")
    return picked


def show(mutation):
    for path, text in mutation.plant(TOP).items():
        before = (TOP / path).read_text().splitlines(True)
        sys.stdout.writelines(difflib.unified_diff(before, text.splitlines(True), path, path))


def main():
    parser = argparse.ArgumentParser(add_help=False)
    for option in ("list", "check", "show", "record"):
        parser.add_argument(f"--{option}", action="store_true")
    parser.add_argument("--directory", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    every = all_mutations()
    mutations = chosen(every, options.names)
    if options.check:
        wrong = check(every)
        without = [each.name for each in every if each.name not in read_table()]
        print("\n".join(wrong) if wrong else f"{len(every)} mutations can be planted, {len(without)} have no result yet")
        return 1 if wrong else 0
    if options.list or options.show:
        for each in mutations:
            print(f"{each.name} ({each.breaks}, {', '.join(each.paths())}): {each.what}")
            if options.show:
                show(each)
        return 0
    for each in mutations:
        each.plant(TOP)
    shop = Workshop(options.directory, options.jobs)
    digest = shop.copy()
    require_sound(shop, mutations, digest)
    survived = run_all(shop, mutations, options.record, every)
    print(f"{len(mutations) - survived} passed, {survived} failed")
    return 1 if survived else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Wrong as error:
        sys.exit(f"error: {error}")
