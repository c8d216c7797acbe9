//! Texts of the help of `coracle serve`.

/// Behind the short help.
pub const EXAMPLES: &str = "\
Examples:
  coracle serve                             this directory, on port 8888 of every address
  coracle serve /srv/images -l 127.0.0.1:0  only for this machine, on a free port
  coracle serve boot.log                    one file, and nothing beside it
  coracle serve --max-clients 16 --idle-timeout 5m --name bench-7
  coracle serve logs --announce=bench-7     found by that name in the local network
  coracle serve /srv/images --console       shown and controlled on this terminal
  coracle serve /var/log --append '*.log'   logs, which are fetched while they grow
  coracle serve /srv/images --version-by mtime   one of several servers with the same files
  coracle serve s3://images/boards          the objects of a bucket, on any number of servers
  coracle serve logs --write-only in/ --allow-plain-writes   boards put their logs into logs/in
  coracle serve --key server.key --psk bench.psk --authorized clients   encrypted, for known keys";

/// Behind the long help.
pub const LONG_HELP: &str = "\
Examples:
  coracle serve                             this directory, on port 8888 of every address
  coracle serve /srv/images -l 127.0.0.1:0  only for this machine, on a free port
  coracle serve boot.log                    one file, and nothing beside it
  coracle serve --max-clients 16 --idle-timeout 5m --name bench-7
  coracle serve logs --announce=bench-7     found by that name in the local network
  coracle serve /srv/images --console       shown and controlled on this terminal
  coracle serve /var/log --append '*.log'   logs, which are fetched while they grow
  coracle serve /srv/images --version-by mtime   one of several servers with the same files
  coracle serve s3://images/boards          the objects of a bucket, on any number of servers
  coracle serve logs --write-only in/ --allow-plain-writes   boards put their logs into logs/in
  coracle serve --key server.key --psk bench.psk --authorized clients   encrypted, for known keys

One file is opened anew for each request, so that one which replaces it is served at once.

A file that changes while it is fetched is fetched again, three times at most. With
--append '*.log' the logs among the files are fetched while they grow: as much as there
was when the request came. It is your promise that they are only appended to; one that is
truncated or replaced is noticed, and counts as another file from then on.

Several servers with copies of the same files are one to their clients with --version-by
mtime (for copies by rsync -a) or content: a download is continued at any of them. With
'content' a file is hashed before it is served the first time, which .coracle-digests in the
directory (or --digests) remembers, and a manifest of 'coracle index' saves; it is as good
beside a copy. A file that changes, and one of --append, has versions of its own at each.

The objects of s3://BUCKET/PREFIX are files with the rest of their keys as paths, and their
ETags as versions. The keys to the service come from the environment as for AWS's own tools:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile AWS_PROFILE
in ~/.aws/credentials and ~/.aws/config, or the role of a task of ECS or a pod of EKS, whose
variables are set there. So do AWS_REGION, AWS_ENDPOINT_URL for a service
other than AWS, and AWS_CA_BUNDLE for certificates of one's own. Clients are told 'busy'
while the service cannot be reached, and come again.

The first lines on standard output name the addresses that are listened on, with
their real ports: 'listening on 127.0.0.1:40123'. The log is on standard error.

With --console the terminal shows them instead, and the log is written to standard error
only where that is not a terminal, as with --console 2>log.

When all places are taken, a new client takes the place of the oldest one that has
been idle for over a second; where there is none, the new client is told to try again. While
places become free so fast that it would get one within a second, it waits for that.
With --admission queue new clients wait in any case, and are served in order of arrival;
--max-clients 1 then serves strictly one after another.

--max-clients-per-address 8 keeps one host from taking all places: its ninth client
is told to try again at once, and so is one that would wait with --admission queue.
There is no such limit by default, since all clients behind one address translator or
proxy have one address. Of an IPv6 address the first 64 bits count, since a host can
have all addresses of a /64; link-local addresses count singly.

Behind a balancer all clients have its address. With --proxy-protocol 10.0.0.5 each
connection from there has to begin with a PROXY header of version 2, as 'send-proxy-v2' of
HAProxy makes it, which names the client; without one it is refused, and the log says why.
Connections from elsewhere are served as they are, and cannot pretend to be another's.

--on-text 'reply:got it' answers clients that send plain text, once for each piece
that arrives, and --on-text echo sends it back; each piece is logged.

--metrics 127.0.0.1:9100 serves counters at http://127.0.0.1:9100/metrics to everybody
who can reach that port; its address is printed after the listening ones.

With --key all connections are encrypted. A file for --authorized has a line for each
client that is known: its public key ('coracle key show'), what it may do, its name.

  ck1... read                            # bench-7
  ck1... read write=in/ do=restart       # Ada's laptop
  plain read=public/

What it may do are the words read, write, delete (with =DIRECTORY/ behind them for what
lies beneath that directory alone; no links are followed then) and do=ACTION. Replacing a
file needs write, renaming one write and delete. 'plain' is who comes without encryption,
with --encrypt offer. The list and the pre-shared keys are read again when their files
change; if one of them is wrong then, the log says so, and the old ones stay in force.
At the start a file that is wrong, missing, or open to others is an error.

Sockets that systemd passes on for a socket unit are listened on in place of the default
address.

SIGINT (Ctrl-C) and SIGTERM stop the server: it finishes the answers under way, for --grace
at most, and tells new clients to come again. A second signal stops it at once. SIGHUP does
the same where the server has a terminal, which has hung up then. Where it has none, as a
service, and under nohup, SIGHUP changes nothing: files of keys are read again by themselves.

Exit codes:
  0        stopped by a signal
  2        wrong usage
  3        an address cannot be listened on
  5        the directory, file or bucket cannot be served, or a file of keys not be used
  128 + N  stopped at once by a second signal N

Durations are numbers with a unit (500ms, 10s, 2m); 0 is never.
Sizes are bytes, or numbers with a unit: 64KiB is 65536, 64k or 64kB is 64000.";
