# Runs in the carrier: the image that lies unpacked at $1, without any right. What follows are options of proot and the
# command. Whatever the container runtime put into the carrier for the GPU is shown in the image too, as Apptainer's
# --nv does it. Backquotes, because Kubernetes reads a dollar with a bracket, and two dollars, in arguments itself.
image=$1
shift
if [ ! -d "$image" ]; then
  echo "aiinfn-image: $image is not a directory here" >&2
  exit 127
fi
if ! command -v proot >/dev/null; then
  echo "aiinfn-image: the carrier has no proot" >&2
  exit 127
fi
for file in /usr/lib/*-linux-gnu /usr/lib64 /usr/local/nvidia/lib64; do
  for library in "$file"/libcuda*.so* "$file"/libnvidia-*.so* "$file"/libnvcuvid.so*; do
    [ ! -e "$library" ] || set -- -b "$library:/.aiinfn/gpu/${library##*/}" "$@"
  done
done
[ ! -e /usr/bin/nvidia-smi ] || set -- -b /usr/bin/nvidia-smi:/.aiinfn/gpu/nvidia-smi "$@"
for file in /etc/hosts /etc/resolv.conf "${TMPDIR:-/tmp}"; do
  [ ! -e "$file" ] || set -- -b "$file" "$@"
done
# proot itself heeds no signal: the command in the image gets it, by the number that it writes here.
AIINFN_PID=`mktemp`
export AIINFN_PID
proot -r "$image" -b /dev -b /proc -b /sys -b /tmp "$@" &
proot=$!
trap 'kill -TERM `cat "$AIINFN_PID"`' TERM INT
wait "$proot"
code=$?
while kill -0 "$proot" 2>/dev/null; do
  wait "$proot"
  code=$?
done
rm -f "$AIINFN_PID"
exit "$code"
