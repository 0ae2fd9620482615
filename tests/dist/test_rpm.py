"""packaging/airstrip.spec: read by rpm's own tools, and held against what `make install` installs."""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))

import tap  # noqa: E402

SPEC = os.path.join(TOP, "packaging", "airstrip.spec")


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, stdin=subprocess.DEVNULL, **more)
    return done.returncode, done.stdout


def versions():
    version = re.search(r"AC_INIT\(\[airstrip\],\[(.*?)\]", open(os.path.join(TOP, "configure.ac")).read()).group(1)
    spec = re.search(r"(?m)^Version:\s*(\S+)", open(SPEC).read()).group(1)
    debian = re.match(r"\S+ \((.*?)\)", open(os.path.join(TOP, "debian", "changelog")).read()).group(1)
    tap.equal((spec, debian), (version, version), "the packages have the program's version")


def files():
    """What is installed is in a package, and what a package lists is installed."""
    if not os.environ.get("AIRSTRIP_PLAIN"):
        tap.skip("every installed file is in a package", "AIRSTRIP_PLAIN is not set")
        return
    _, expanded = run("rpmspec", "-P", "--define", "_libdir /usr/lib64", SPEC)
    listed = [line.split()[-1] for part in re.findall(r"(?ms)^%files.*?(?=^%files|^%changelog|\Z)", expanded) for line in part.splitlines()
              if re.search(r"(^|\s)/", line)]
    with tempfile.TemporaryDirectory() as folder:
        places = ["prefix=/usr", "sysconfdir=/etc", "localstatedir=/var", "libexecdir=/usr/libexec", "libdir=/usr/lib64",
                  "mandir=/usr/share/man", "systemdsystemunitdir=/usr/lib/systemd/system", "sysusersdir=/usr/lib/sysusers.d"]
        status, text = run("make", "-s", "-C", os.environ["AIRSTRIP_PLAIN"], "install", "DESTDIR=" + folder, *places)
        if status:
            tap.ok(False, "make install", text[-1500:])
            return
        there = {os.path.join(at, f)[len(folder):] for at, _, names in os.walk(folder) for f in names}
        folders = {at[len(folder):] for at, _, _ in os.walk(folder)}
        status, text = run("make", "-s", "-C", os.environ["AIRSTRIP_PLAIN"], "uninstall", "DESTDIR=" + folder, *places)
        left = [os.path.join(at, f)[len(folder):] for at, dirs, names in os.walk(folder) for f in names + [d for d in dirs if "airstrip" in d]]
        tap.ok(status == 0 and there and not left, f"make uninstall leaves nothing of {len(there)} files", *left)
    there = {f for f in there if not f.endswith(".la") and "airstrip_cuda" not in f and "airstrip_mpi" not in f}
    missing = sorted(f for f in there if not any(fnmatch.fnmatch(f, p) or f.startswith(p + "/") for p in listed))
    tap.ok(len(listed) > 8 and not missing, "every installed file is in a package", *missing, *listed)
    made = ("/var/lib/airstrip", "/var/log/airstrip")       # by the specification itself
    absent = [p for p in listed if not p.startswith(made) and not any(fnmatch.fnmatch(f, p) for f in there | folders)]
    tap.ok(not absent, "and every listed file is installed", *absent)


def source_package():
    with tempfile.TemporaryDirectory() as folder:
        name = "airstrip-" + re.search(r"(?m)^Version:\s*(\S+)", open(SPEC).read()).group(1)
        os.makedirs(os.path.join(folder, name))
        shutil.copy(os.path.join(TOP, "LICENSE"), os.path.join(folder, name))
        run("tar", "-czf", name + ".tar.gz", name, cwd=folder)
        status, text = run("rpmbuild", "-bs", "--nodeps", "--define", "_topdir " + folder, "--define", "_sourcedir " + folder, SPEC)
        made = [os.path.join(at, f) for at, _, names in os.walk(folder) for f in names if f.endswith(".src.rpm")]
        tap.ok(status == 0 and len(made) == 1, "rpmbuild -bs", text)
        if not shutil.which("rpmlint"):
            tap.skip("rpmlint", "it is not installed")
            return
        # The project has no page of its own; nobody has signed this one; tags that RPM itself no longer wants; a list of licences that
        # Debian's rpmlint comes without; and systemd's folder is lib everywhere.
        left_out = ["no-url-tag", "invalid-url", "no-signature", "no-packager-tag", "no-group-tag", "no-buildroot-tag", "invalid-license MIT",
                    "hardcoded-library-path in %{_prefix}/lib/sysusers.d"]
        with open(os.path.join(folder, "rpmlint.toml"), "w") as f:
            f.write("Filters = " + repr(left_out) + "\n")
        status, text = run("rpmlint", "-c", os.path.join(folder, "rpmlint.toml"), SPEC, *made)
        found = [line for line in text.splitlines() if re.search(r": [EW]: ", line)]
        tap.ok(status == 0 and not found, "rpmlint has nothing to say", *found, text[-500:])


for program in ("rpmspec", "rpmbuild"):
    if not shutil.which(program):
        tap.attempt(versions)
        tap.skip("the specification for RPM", program + " is not installed")
        tap.done()
for options in ((), ("--with", "cuda")):
    code, output = run("rpmspec", "-P", *options, SPEC)
    tap.ok(code == 0 and ("%package cuda" in output) == bool(options), f"rpmspec {' '.join(options)} reads it", output[-500:] if code else "")
for test in (versions, files, source_package):
    tap.attempt(test)
tap.done()
