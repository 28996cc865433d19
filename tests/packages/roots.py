"""Debian roots to install packages into: made by debootstrap once, each test on an overlay of its own, with systemd as
process 1 if it is booted. Needs root. Knows nothing of what is installed."""

import atexit
import ctypes
import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
PACKAGES = os.path.join(SOURCE, "target", "packages")
BASE = os.path.join(PACKAGES, "base")
SUITE, INCLUDED = "bookworm", "systemd,systemd-sysv,dbus,procps,sudo,rpm"
ENVIRONMENT = ["LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_COLORS=0", "HOME=/root", "TERM=dumb",
               "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
PATIENCE = 60
# What the second version has in its examples, and the first has not.
OTHER_EXAMPLE = "# The example of another version."

# Runs as process 1 of fresh namespaces, makes the root one's world, and becomes its systemd.
BOOT = r"""
set -eu
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
cd "$DIR/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run tmp dev; do mount -t tmpfs tmpfs $folder; done
mkdir dev/pts dev/shm run/lock packages 2>/dev/null || true
for device in null zero random urandom tty full; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount --bind "$PACKAGES" packages
hostname testing
ip link set lo up
ip link add eth0 type veth peer name peer0
ip address add 192.0.2.10/24 dev eth0
ip link set eth0 up
ip link set peer0 up
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=other /lib/systemd/systemd --unit=multi-user.target </dev/null >/dev/null 2>&1
"""


class Failure(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failure(what)


def say(text):
    print(f"packages: {text}", flush=True)


def need(commands):
    """Installs the Debian packages of commands that are missing."""
    missing = [package for command, package in commands.items() if shutil.which(command) is None]
    if missing:
        say(f"installing {' '.join(missing)}")
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "check": True}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], **quiet)


def base():
    """The root that all others lie over."""
    need({"debootstrap": "debootstrap", "ip": "iproute2", "nsenter": "util-linux"})
    made = f"{SUITE} {INCLUDED}"
    stamp = BASE + ".made"
    if os.path.exists(stamp) and open(stamp).read() == made:
        return
    shutil.rmtree(BASE, ignore_errors=True)
    os.makedirs(BASE)
    say(f"making a Debian {SUITE} root")
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDED}", SUITE, BASE],
                   stdout=subprocess.DEVNULL, check=True)
    with open(stamp, "w") as file:
        file.write(made)


class Root:
    """A root of its own. `/packages` in it is target/packages."""

    def __init__(self, name):
        base()
        self.dir = os.path.join(PACKAGES, "roots", name)
        shutil.rmtree(self.dir, ignore_errors=True)
        for part in ("upper", "work", "root"):
            os.makedirs(os.path.join(self.dir, part))
        self.started = None
        self.pid = None
        atexit.register(self.end)

    def boot(self):
        """Starts it; returns when systemd says that it runs."""
        variables = {**os.environ, "BASE": BASE, "DIR": self.dir, "PACKAGES": PACKAGES}
        self.started = subprocess.Popen(["unshare", "-f", "-p", "-m", "-C", "-u", "-i", "-n", "bash", "-c", BOOT], env=variables)
        children = f"/proc/{self.started.pid}/task/{self.started.pid}/children"
        self.pid = int(until("process 1 to appear", lambda: read(children).split()[:1])[0])
        until("systemd to come up", lambda: "systemd" in read(f"/proc/{self.pid}/comm"))
        state = until("the end of the boot", lambda: (said := self.ask("systemctl is-system-running").strip()) in ("running", "degraded") and said)
        check(state == "running", f"the root is {state}: {self.ask('systemctl --failed')}")

    def power_off(self):
        """Ends it as a machine ends that is shut down: services are stopped by systemd."""
        os.kill(self.pid, signal.SIGRTMIN + 4)
        self.started.wait(PATIENCE)
        self.pid = None

    def end(self):
        if self.pid is not None and self.started.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.started.wait(PATIENCE)
        self.pid = None
        shutil.rmtree(self.dir, ignore_errors=True)

    def _command(self, line):
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "env", "-i", *ENVIRONMENT, "bash", "-c", f"cd /root; {line}"]

    def ask(self, line):
        """What a command says, whatever its exit code."""
        done = subprocess.run(self._command(line), capture_output=True, text=True, timeout=PATIENCE * 3)
        return done.stdout + done.stderr

    def run(self, line):
        """Runs a command that has to succeed; what it says."""
        done = subprocess.run(self._command(line), capture_output=True, text=True, timeout=PATIENCE * 3)
        check(done.returncode == 0, f"`{line}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def fails(self, line):
        return subprocess.run(self._command(line), capture_output=True, timeout=PATIENCE * 3).returncode != 0

    def converse(self, line, question, answer):
        """Runs a command at a terminal, gives its one answer when it is asked the question; what it says."""
        ours, theirs = pty.openpty()

        def take_terminal():
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(self._command(line), stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take_terminal)
        os.close(theirs)
        said, asked, deadline = "", False, time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.5)[0]:
                try:
                    said += os.read(ours, 4096).decode(errors="replace")
                except OSError:
                    break  # Its end of the terminal is closed.
            if question in said and not asked:
                asked = True
                os.write(ours, f"{answer}\n".encode())
        else:
            process.kill()
        code = process.wait(PATIENCE)
        os.close(ours)
        check(asked, f"`{line}` did not ask \"{question}\": {said}")
        check(code == 0, f"`{line}` ended with {code}: {said}")
        return said

    def outside(self, pid):
        """The id that one of its processes has on this machine."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") == space and read(f"/proc/{entry}/status").split("NSpid:")[1].split("\n")[0].split()[-1] == str(pid):
                    return int(entry)
            except (OSError, IndexError):
                continue
        raise Failure(f"process {pid} is not to be seen from outside")


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def until(what, probe, patience=PATIENCE):
    """The first true value of a probe; a failure when it takes too long."""
    deadline = time.monotonic() + patience
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"waited {patience} s for {what}")
        time.sleep(0.05)


def stop_thread(pid, name):
    """Stops one thread of a process through ptrace, in a child that ends when the process does."""
    threads = [int(task) for task in os.listdir(f"/proc/{pid}/task") if read(f"/proc/{pid}/task/{task}/comm").strip() == name]
    check(len(threads) == 1, f"process {pid} has {len(threads)} threads called {name}")
    thread = threads[0]
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        SEIZE, INTERRUPT, WAIT_ALL = 0x4206, 0x4207, 0x40000000
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long] * 4
        if libc.ptrace(SEIZE, thread, 0, 0) != 0 or libc.ptrace(INTERRUPT, thread, 0, 0) != 0:
            os.write(tell, os.strerror(ctypes.get_errno()).encode())
            os._exit(1)
        _, status = os.waitpid(thread, WAIT_ALL)
        os.write(tell, b"stopped")
        # The kernel gives a traced thread back only to whoever traces it.
        while not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
            try:
                _, status = os.waitpid(thread, WAIT_ALL)
            except ChildProcessError:
                break
        os._exit(0)
    os.close(tell)
    said = os.read(ready, 100).decode()
    check(said == "stopped", f"thread {thread} cannot be stopped: {said}")
    return child


def newest(pattern):
    import glob
    found = sorted(glob.glob(os.path.join(PACKAGES, pattern)), key=os.path.getmtime)
    check(found, f"there is no {pattern} in target/packages; packaging/build makes it")
    return found[-1]


def commands(page):
    """The lines of the `bash` blocks of a page."""
    inside, lines = False, []
    for line in read(os.path.join(SOURCE, page)).splitlines():
        if line.strip().startswith("```"):
            inside = line.strip() == "```bash"
        elif inside and line.strip():
            lines.append(line.strip())
    check(lines, f"{page} has no commands")
    return lines


def main(test):
    if os.geteuid() != 0:
        sys.exit("needs root")
    try:
        test()
    except Failure as failure:
        print(f"FAILED {failure}", file=sys.stderr)
        sys.exit(1)
