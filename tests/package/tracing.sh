#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The library has the tracepoints that doc/tracing.md lists, and no others. gdb, and bpftrace where it is
# allowed, sees each when a program passes it, with the arguments that the document lists.
set -eu
: "${srcdir:?}" "${builddir:?}"

program=$builddir/tests/package/tracing
notes=$(readelf -n "$program")
grep -q 'define HAVE_TRACEPOINTS' "$builddir/config.h" || {
    case $notes in *stapsdt*)
        echo 'tracepoints, though configured without'
        exit 1
        ;;
    esac
    echo 'configured without tracepoints (Debian: apt-get install systemtap-sdt-dev)'
    exit 77
}
case ${CFLAGS-} in *-fsanitize=*)
    echo 'not under gdb with a sanitizer'
    exit 77
    ;;
esac

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# NAME and the number of arguments, including those that all tracepoints have.
awk -F ' \\| ' '/^\| `/ { name = $1; gsub(/[|` ]/, "", name); n = split($3, words, ", ")
        # In the table, "a C string" follows a comma and is no argument.
        print name, 2 + n - ($3 ~ /, a C string/) }' "$srcdir/doc/tracing.md" | sort >"$dir/documented"
printf '%s\n' "$notes" | awk '$1 == "Provider:" && $2 != "shmring" { exit 1 }
    $1 == "Name:" { name = $2 } $1 == "Arguments:" { print name, NF - 1 }' | sort -u >"$dir/there"
diff "$dir/documented" "$dir/there"

# What gdb prints at each: strings (s) and numbers (d), from the second argument on.
# shellcheck disable=SC2016 # the dollars are for gdb
stop_at() # TRACEPOINT s|d...
{
    tracepoint=$1
    shift
    format=
    arguments=
    i=0
    for type; do
        i=$((i + 1))
        case $type in
        s) arguments="$arguments, (char *)\$_probe_arg$i" ;;
        d) arguments="$arguments, (int)\$_probe_arg$i" ;;
        esac
        format="$format %$type"
    done
    printf 'break -probe-stap shmring:%s\ncommands\nsilent\n' "$tracepoint"
    printf 'printf "%s%s\\n"%s\ncontinue\nend\n' "$tracepoint" "$format" "$arguments"
}

seen_by_gdb()
{
    gdb -nx -batch -ex run --args true 2>&1 </dev/null | grep -q 'exited normally' || {
        echo 'not seen when they are met: no gdb, or it may not'
        return
    }
    cat >"$dir/commands" <<END
set pagination off
set debuginfod enabled off
handle SIGBUS nostop noprint pass
$(stop_at attach s d d)
$(stop_at close s d d)
$(stop_at full s d)
$(stop_at sleep s d)
$(stop_at sleep_end s d d)
$(stop_at wake s d d)
$(stop_at recovery s d d d d)
$(stop_at corrupt s s)
run tracing-$$ >$dir/expected
printf "exit status %d\n", \$_exitcode
END
    "$builddir"/libtool --mode=execute gdb -nx -batch -x "$dir/commands" "$program" \
        >"$dir/gdb" 2>&1 </dev/null
    grep -E "^($(cut -d ' ' -f 1 "$dir/documented" | paste -sd '|')) " "$dir/gdb" >"$dir/seen" || :
    grep -q '^exit status 0' "$dir/gdb" || {
        cat "$dir/gdb"
        return 1
    }
    diff "$dir/expected" "$dir/seen"
    cut -d ' ' -f 1 "$dir/seen" | sort -u >"$dir/names"
    cut -d ' ' -f 1 "$dir/documented" | diff - "$dir/names"
}

lines_of() # EVENT
{
    grep -c "$1  *tracing-$$" "$dir/bpftrace" || :
}

run_until() # EVENT TIMES: run the program until bpftrace has reported EVENT of its queue that many times
{
    while [ "$(lines_of "$1")" -lt "$2" ] && kill -0 $pid; do
        "$dir/tracing" "tracing-$$" >"$dir/ignored"
        sleep 0.1
    done
}

# bpftrace does not always react to the first signal, and loses its last output if a second comes at once.
interrupt()
{
    checks=0
    while grep -q '^State:[^ZX]*$' /proc/$pid/status 2>/dev/null; do
        [ $((checks % 50)) -ne 0 ] || kill -INT $pid || :
        checks=$((checks + 1))
        sleep 0.1
    done
}

# Nothing shows when bpftrace is ready, and it attaches to one tracepoint after the other: when the first
# and the last one of the script have been reported, the program runs once more. The program is a copy: the
# kernel may remove its breakpoints late, and gdb cannot share them.
seen_by_bpftrace()
{
    bpftrace -e 'BEGIN { printf("it works\n"); exit(); }' >"$dir/works" 2>&1 || :
    grep -q '^it works' "$dir/works" || {
        echo 'examples/trace.bt was not tried: no bpftrace, or it may not'
        return
    }
    cp "$program" "$dir/tracing"
    bpftrace "$srcdir/examples/trace.bt" "$dir/tracing" >"$dir/bpftrace" 2>&1 &
    pid=$!
    run_until attach 1
    run_until corrupt 1
    run_until corrupt $(($(lines_of corrupt) + 1))
    interrupt
    wait $pid || :
    for line in "attach  *tracing-$$: roles 3, row 0" "close  *tracing-$$" \
        "recovery  *tracing-$$: after pid [0-9]*: 0 freed, 1 redelivered, 0 dropped" \
        "corrupt  *tracing-$$: the segment's memory is gone" "corrupt  *memfd:corrupt: .*header" \
        "^@full.tracing, tracing-$$.: [1-9]" "^@woken.tracing, tracing-$$.: [1-9]" \
        "^@slept_us.tracing, tracing-$$.:"; do
        grep -q "$line" "$dir/bpftrace" || {
            echo "not there: $line"
            cat "$dir/bpftrace"
            return 1
        }
    done
}

seen_by_gdb
seen_by_bpftrace
