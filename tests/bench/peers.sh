# Sourced by the benchmarks: one pulsemx and one Postfix in the role of a backup MX, each with a spool of its own.
# Sets folder, target, ours and theirs (SMTP ports), primary_ours and primary_theirs (ports of the offline primaries).
cargo build --locked --release --quiet --bins
target=${CARGO_TARGET_DIR:-target}
folder=$(mktemp -d)
pids=()
cleanup() {
    postfix -c "$folder/postfix" stop >/dev/null 2>&1 || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT
chmod 755 "$folder"

port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
ours=$(port) theirs=$(port) beats=$(port) primary_ours=$(port) primary_theirs=$(port)

cat > "$folder/pulsemx.toml" <<TOML
hostname = "mx2.pulsemx.example"
data_dir = "$folder/data"
[heartbeat]
listen = "127.0.0.1:$beats"
interval = "1s"
[delivery]
allow_loopback_targets = true
per_account = ${PULSEMX_BENCH_PER_ACCOUNT:-4}
[smtp]
listen = "127.0.0.1:$ours"
exempt_networks = ["127.0.0.0/8"]
[spool]
per_account = "100GB"
[web]
listen = "127.0.0.1:0"
TOML
PULSEMX_LOG=error "$target/release/pulsemx" --config "$folder/pulsemx.toml" serve > "$folder/out" &
server=$!
pids+=("$server")
until grep -q '^ready' "$folder/out"; do sleep 0.05; done
"$target/release/pulsemx" --config "$folder/pulsemx.toml" --json account add firma --domain firma.example --port "$primary_ours" 2>/dev/null |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])' > "$folder/token"
chmod 600 "$folder/token"

mkdir -p "$folder/postfix" "$folder/queue" "$folder/pdata"
chown postfix "$folder/pdata"
cat > "$folder/postfix/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/pdata
mail_owner = postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
myhostname = mx3.pulsemx.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
relay_domains = firma.example
relay_recipient_maps =
mynetworks = 127.0.0.0/8
relayhost =
transport_maps = inline:{firma.example=relay:[127.0.0.1]:$primary_theirs}
default_process_limit = 200
maillog_file = $folder/postfix.log
maillog_file_prefixes = /tmp, /var
alias_maps =
CF
sed -e "s/^smtp      inet.*/127.0.0.1:$theirs inet n - n - - smtpd/" -e 's/^\(\S\+ \+\(inet\|unix\|unix-dgram\) \+\S\+ \+\S\+ \+\)y/\1n/' \
    /usr/share/postfix/master.cf.dist > "$folder/postfix/master.cf"
sed -i '/^postlog/d' "$folder/postfix/master.cf"
echo 'postlog unix-dgram n - n - 1 postlogd' >> "$folder/postfix/master.cf"
postfix -c "$folder/postfix" start >/dev/null 2>&1
until (exec 3<>"/dev/tcp/127.0.0.1/$theirs") 2>/dev/null; do sleep 0.1; done

