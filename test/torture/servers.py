"""Servers of the torture: made, killed, started again, copied, promoted, brought to a point in time.

All of them belong to the user that runs this.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import psycopg

SETTINGS = """
listen_addresses = ''
shared_preload_libraries = 'durable_work'
restart_after_crash = on
fsync = off
max_connections = 60
max_worker_processes = 24
max_prepared_transactions = 40
timezone = 'UTC'
lc_messages = 'C'
log_line_prefix = '%m [%p] %e %b %a: '
wal_keep_size = '512 MB'
archive_mode = on
durable_work.max_resident_jobs = 1024
durable_work.segment_max_age = 1s
durable_work.truncate_grace = 0
durable_work.timer_horizon = '1 s'
durable_work.heartbeat_interval = '200 ms'
durable_work.worker_dead_after = '1 s'
"""
PATIENCE = 120      # seconds until something that must happen is given up
ALARMS = re.compile(r"PANIC|TRAP: |stuck spinlock|\) was terminated by signal (?!9:)|\] XX\d\d\d [^:]*: +(?:ERROR|FATAL|PANIC):  (?!archive command)|server process .* exited with exit code [3-9]")


class Stuck(Exception):
    pass


def wait_until(what, condition, pause=0.05, patience=PATIENCE):
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        got = condition()
        if got:
            return got
        time.sleep(pause)
    raise Stuck(f"in vain: {what}")


def children_of(pid):
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Server:
    def __init__(self, bindir, place, name):
        self.bindir = bindir
        self.directory = place / name
        self.directory.mkdir()
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.archive = place / "archive"
        self.archive.mkdir(exist_ok=True)
        self.dsn = f"host={self.directory} user=postgres dbname=postgres application_name=conductor"

    def program(self, name, *arguments, check=True):
        done = subprocess.run([f"{self.bindir}/{name}", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if check and done.returncode:
            raise Stuck(f"{name} {arguments}: {done.stdout}")
        return done.returncode == 0

    def initialise(self):
        self.program("initdb", "-D", self.data, "--no-sync", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        self.configure(SETTINGS, f"archive_command = 'cp %p {self.archive}/%f.new && mv {self.archive}/%f.new {self.archive}/%f'")

    def configure(self, *lines):
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write("\n".join((*lines, f"unix_socket_directories = '{self.directory}'", "")))

    def take_from(self, backup, signal_file, *lines):
        shutil.copytree(backup, self.data)
        os.chmod(self.data, 0o700)
        self.configure(f"restore_command = 'cp {self.archive}/%f %p'", *lines)
        (self.data / signal_file).touch()

    def start(self):
        # What a killed postmaster left behind goes by and by; until then there is no start.
        with open(self.log, "a", encoding="utf-8"):
            pass
        wait_until("start of the server", lambda: self.program("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", PATIENCE, "start", check=False), 0.2)

    def stop(self, mode):
        self.program("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", PATIENCE, "stop")

    def postmaster(self):
        return int((self.data / "postmaster.pid").read_text().split("\n")[0])

    def kill_postmaster(self, with_children):
        postmaster = self.postmaster()
        children = children_of(postmaster)
        os.kill(postmaster, signal.SIGKILL)
        for child in children if with_children else []:
            kill(child, signal.SIGKILL)

        def all_gone():
            return not any(map(is_running, [postmaster, *children]))
        try:
            wait_until("end of the processes of a killed postmaster", all_gone, patience=30)
        except Stuck:
            # One that works and never waits does not notice.
            for child in children:
                kill(child, signal.SIGKILL)
            wait_until("end of killed processes", all_gone)

    def ask(self, query):
        """Rows, or None while the server does not answer."""
        try:
            with psycopg.connect(self.dsn, autocommit=True, connect_timeout=10) as connection:
                return connection.execute(query).fetchall()
        except psycopg.Error:
            return None

    def alarms(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return [line.rstrip() for line in log if ALARMS.search(line)]


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
