#!/usr/bin/env bash
# Answers of pulsemx beside NSD and Knot: the same zone, the same questions, the same run, two workers each.
#
#   tests/bench/dns_peers.sh [ROUNDS [SECONDS]]     needs dnsperf, nsd, knot and a release build
#
# Rounds alternate between the servers; the figures are medians. What counts is questions answered for each second of
# processor time of the server, since all of them share the machine with dnsperf. Last lines: `figure NAME RATIO`.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5} seconds=${2:-3}
binary=${PULSEMX:-target/release/pulsemx}
dir=$(mktemp -d) pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$dir"; }
trap finish EXIT
port() { echo $((20000 + $$ % 9000 + $1)); }

{
    printf '$ORIGIN bench.example.\n$TTL 300\n@ IN SOA ns.bench.example. root.bench.example. 1 7200 3600 1209600 300\n'
    printf '@ IN NS ns\nns IN A 127.0.0.1\n'
    for n in $(seq 1000); do
        printf 'h%d IN A 203.0.113.%d\nh%d IN AAAA 2001:db8::%x\n' "$n" $((n % 250 + 1)) "$n" "$n"
        printf 'h%d IN MX 10 h%d\nh%d IN TXT "v=spf1 mx -all"\n' "$n" "$n" "$n"
    done
} > "$dir/zone"
# One in twenty asks for a name that does not exist.
awk 'BEGIN { srand(7); split("A AAAA MX TXT", kind, " ")
    for (i = 0; i < 100000; i++) {
        name = rand() < 0.05 ? "x" int(rand() * 1e6) : "h" int(rand() * 1000) + 1
        print name ".bench.example " kind[int(rand() * 4) + 1]
    } }' > "$dir/questions"

cat > "$dir/pulsemx.toml" <<END
hostname = "ns.bench.example"
data_dir = "$dir/data"
[heartbeat]
listen = "127.0.0.1:$(port 3)"
[smtp]
listen = "127.0.0.1:$(port 4)"
[web]
listen = "127.0.0.1:$(port 5)"
[dns]
zone = "dyn.example"
listen = "127.0.0.1:$(port 0)"
own = ["127.0.0.1"]
answers_per_second = 0
END
cat > "$dir/nsd.conf" <<END
server:
    server-count: 2
    ip-address: 127.0.0.1@$(port 1)
    reuseport: yes
    username: ""
    zonesdir: "$dir"
    database: ""
    pidfile: "$dir/nsd.pid"
    xfrdfile: "$dir/xfrd"
    xfrdir: "$dir"
    zonelistfile: "$dir/zones"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "bench.example"
    zonefile: "zone"
END
cat > "$dir/knot.conf" <<END
server:
    listen: 127.0.0.1@$(port 2)
    udp-workers: 2
    rundir: "$dir"
database:
    storage: "$dir"
template:
  - id: default
    storage: "$dir"
    file: zone
zone:
  - domain: bench.example
    zonefile-sync: -1
END
start() { "$@" > "$dir/log.${#pids[@]}" 2>&1 & pids+=($!); }
start "$binary" --config "$dir/pulsemx.toml" serve
start nsd -d -c "$dir/nsd.conf"
start knotd -c "$dir/knot.conf"
for _ in $(seq 100); do grep -q '^ready ' "$dir/log.0" && break; sleep 0.1; done
"$binary" --config "$dir/pulsemx.toml" account add bench --domain mail.bench.example > /dev/null 2>&1
"$binary" --config "$dir/pulsemx.toml" zone import bench bench.example "$dir/zone" > /dev/null
for at in 0 1 2; do
    for _ in $(seq 100); do
        [ "$(dig +short +tries=1 +time=1 -p "$(port $at)" @127.0.0.1 h7.bench.example AAAA)" = 2001:db8::7 ] && continue 2
        sleep 0.1
    done
    echo "server $at does not answer" >&2; cat "$dir/log.$at" >&2; exit 1
done

# Ticks of processor time of a process and its children (nsd forks its workers).
ticks() {
    local pid sum=0
    for pid in "$1" $(pgrep -P "$1") $(for child in $(pgrep -P "$1"); do pgrep -P "$child"; done); do
        # A name may hold blanks, so the fields are counted from behind it.
        sum=$((sum + $(sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }')))
    done
    echo "$sum"
}
hertz=$(getconf CLK_TCK)
run() { # server: questions answered a second, and a second of its processor time
    local before after answered
    before=$(ticks "${pids[$1]}")
    answered=$(dnsperf -s 127.0.0.1 -p "$(port "$1")" -d "$dir/questions" -l "$seconds" -c 16 -q 100 -T 1 2>/dev/null |
        awk '/Queries completed:/ { print $3 }')
    after=$(ticks "${pids[$1]}")
    awk "BEGIN { print int($answered / $seconds), int($answered * $hertz / ($after - $before)) }"
}
median() { printf '%s\n' "$@" | sort -n | sed -n "$(( ($# + 1) / 2 ))p"; }
names=(pulsemx NSD Knot)
for round in $(seq "$rounds"); do
    order=(0 1 2); [ $((round % 2)) -eq 0 ] && order=(2 1 0)
    for at in "${order[@]}"; do
        read -r wall core < <(run "$at")
        eval "wall$at+=($wall) core$at+=($core)"
    done
done
printf '%-8s %14s %26s\n' server 'answers/s' 'answers/s of its processor'
for at in 0 1 2; do
    eval "wall=\$(median \"\${wall$at[@]}\") core=\$(median \"\${core$at[@]}\")"
    eval "figure$at=$core"
    printf '%-8s %14s %26s\n' "${names[$at]}" "$wall" "$core"
done
awk "BEGIN { printf \"figure dns_ratio_nsd %.2f\nfigure dns_ratio_knot %.2f\n\", $figure0 / $figure1, $figure0 / $figure2 }"
