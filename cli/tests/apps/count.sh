# Counts in a file, one line for each number, and knows nothing of the sidecar.
mkdir -p "$1/deep"
file="$1/deep/count"
count=$(cat "$file" 2>/dev/null || echo 0)
stopping=
trap 'stopping=1' TERM
echo "start $count"
while [ -z "$stopping" ]; do
    count=$((count + 1))
    echo "$count" >"$file.new" && mv "$file.new" "$file"
    echo "count $count"
    sleep 0.02
done
echo "end $count"
