"""Test Anything Protocol for the Python tests: ok(), skip(), done()."""
import sys
import traceback

_count = 0
_failed = 0
_at_end = []


def ok(condition, name, *details):
    """One test line; details are printed as comments where it fails."""
    global _count, _failed
    _count += 1
    if condition:
        print(f"ok {_count} - {name}", flush=True)
    else:
        _failed += 1
        for d in details:
            for line in str(d).splitlines()[:40]:
                print(f"# {line[:1000]}")
        print(f"not ok {_count} - {name}", flush=True)
    return bool(condition)


def equal(found, expected, name, *details):
    return ok(found == expected, name, f"expected {expected!r}", f"found    {found!r}", *details)


def skip(name, reason):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # SKIP {reason}", flush=True)


def attempt(function, *args):
    """Runs a test function; an exception is a failed line, not the end of the program."""
    try:
        function(*args)
    except Exception:
        ok(False, f"{function.__name__}{args if args else ''} ran to its end", traceback.format_exc())


def at_end(function):
    """Calls it before the last line is printed."""
    _at_end.append(function)


def done():
    while _at_end:
        _at_end.pop(0)()
    print(f"1..{_count}" if _count else "1..0 # SKIP nothing to test")
    sys.exit(1 if _failed else 0)
