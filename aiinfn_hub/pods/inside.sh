# Runs in the image: its own environment over that of the pod, and the GPU's libraries where they were shown. Asks
# whether files are there, not whether they can be read: proot before 5.4 does not know faccessat2
# (https://github.com/proot-me/proot/pull/338).
for file in /.singularity.d/env/*.sh; do
  [ ! -e "$file" ] || . "$file"
done
if [ -d /.aiinfn/gpu ]; then
  export LD_LIBRARY_PATH="/.aiinfn/gpu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" PATH="$PATH:/.aiinfn/gpu"
fi
read -r aiinfn_self _ </proc/self/stat
echo "$aiinfn_self" >"$AIINFN_PID"
unset AIINFN_PID aiinfn_self
exec "$@"
