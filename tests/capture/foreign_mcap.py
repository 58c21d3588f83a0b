"""Recordings as readers see them that are not ours: the MCAP project's Python packages.

foreign_mcap.py RECORD_SAMPLE: makes recordings with that program, then decodes every schema and message of them and
checks the rules of rosbag2 and of recordings. Exit code 77: the packages are not installed (pip install mcap
mcap-ros2-support), so nothing was checked.
"""
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    from mcap.reader import make_reader
    from mcap.stream_reader import StreamReader
    from mcap_ros2.decoder import DecoderFactory
except ImportError as missing:
    print(f"skipped: {missing}; pip install mcap mcap-ros2-support")
    sys.exit(77)

ROS_TYPES = {
    "/joint_states": "sensor_msgs/msg/JointState",
    "/joint_targets": "sensor_msgs/msg/JointState",
    "/tf": "tf2_msgs/msg/TFMessage",
    "/tf_static": "tf2_msgs/msg/TFMessage",
    "/rosout": "rcl_interfaces/msg/Log",
    "/robot_description": "std_msgs/msg/String",
}
NEEDED = ["/joint_states", "/tf", "/drover/episode", "/drover/energy", "/drover/skill", "/power/mechanical_W"]


def expect(truth, what):
    if not truth:
        raise AssertionError(what)


def check_image(topic, ros):
    expect(bytes(ros.data[:3]) == b"\xff\xd8\xff" and bytes(ros.data[-2:]) == b"\xff\xd9", f"{topic}: no JPEG")
    expect(ros.format == "jpeg", f"{topic}: format {ros.format}")


def check_ros(topic, schema, channel, ros, log_ns):
    expect(schema.encoding == "ros2msg" and channel.message_encoding == "cdr", f"{topic}: encodings")
    expect("offered_qos_profiles" in channel.metadata, f"{topic}: no QoS profile")
    if topic in ROS_TYPES:
        expect(schema.name == ROS_TYPES[topic], f"{topic}: type {schema.name}")
    header = getattr(ros, "header", None)
    if header is not None:
        stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
        expect(stamp_ns <= log_ns, f"{topic}: stamped {stamp_ns}, logged {log_ns}")
    if schema.name == "sensor_msgs/msg/JointState":
        expect(len(ros.name) == len(ros.position) > 0, f"{topic}: positions and names")
    if schema.name == "sensor_msgs/msg/CompressedImage":
        check_image(topic, ros)
    if schema.name == "tf2_msgs/msg/TFMessage":
        for t in ros.transforms:
            q = t.transform.rotation
            expect(abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1) < 1e-6, f"{topic}: rotation of {t.child_frame_id}")
            expect(t.header.frame_id and t.child_frame_id, f"{topic}: frame names")


def check_tree(parents):
    """Every transform leads to one root, as tf2 demands."""
    roots = set()
    for frame in parents:
        seen = set()
        while frame in parents:
            expect(frame not in seen, f"tf: a loop at {frame}")
            seen.add(frame)
            frame = parents[frame]
        roots.add(frame)
    expect(roots <= {"world"}, f"tf: roots {roots}")


def json_fits(value, schema, where):
    """The part of JSON Schema that our schemas use; jsonschema itself where it is installed."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    expect(isinstance(value, kinds[schema["type"]]), f"{where}: not of type {schema['type']}")
    expect("enum" not in schema or value in schema["enum"], f"{where}: not in the enumeration")
    if schema["type"] == "object":
        for key in schema.get("required", []):
            expect(key in value, f"{where}: {key} is missing")
        for key, inner in schema.get("properties", {}).items():
            if key in value and "type" in inner:
                json_fits(value[key], inner, f"{where}.{key}")
    if schema["type"] == "array" and "items" in schema:
        for inner in value:
            json_fits(inner, schema["items"], where)


def check_file(path, counts, whole):
    decoders, schemas_json = {}, {}
    factory = DecoderFactory()
    last_ns, seen, parents, phases = {}, collections.Counter(), {}, []
    with open(path, "rb") as file:
        for record in StreamReader(file, validate_crcs=True).records:
            pass  # every record is well formed, every CRC is right
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        header = reader.get_header()
        expect(header.profile == "ros2", f"profile {header.profile}")
        summary = reader.get_summary()
        expect(summary and summary.statistics, "no summary")
        for schema, channel, message in reader.iter_messages(log_time_order=False):
            topic = channel.topic
            expect(message.log_time >= last_ns.get(topic, 0), f"{topic}: time goes back")
            last_ns[topic] = message.log_time
            seen[topic] += 1
            if schema.encoding == "jsonschema":
                expect(channel.message_encoding == "json", f"{topic}: encoding")
                value = json.loads(message.data)
                shape = schemas_json.setdefault(schema.id, json.loads(schema.data))
                json_fits(value, shape, topic)
                if topic == "/drover/episode":
                    phases.append(value["phase"])
                continue
            if channel.id not in decoders:
                decoders[channel.id] = factory.decoder_for(channel.message_encoding, schema)
                expect(decoders[channel.id] is not None, f"{topic}: no decoder for {schema.name}")
            ros = decoders[channel.id](message.data)
            check_ros(topic, schema, channel, ros, message.log_time)
            if topic in ("/tf", "/tf_static"):
                parents.update({t.child_frame_id: t.header.frame_id for t in ros.transforms})
        expect(sum(seen.values()) == summary.statistics.message_count, "statistics do not count the messages")
    check_tree(parents)
    expect(dict(seen) == counts, f"counts differ: {dict(seen)} and {counts}")
    for topic in NEEDED:
        expect(seen[topic] > 0, f"no messages on {topic}")
    expect(phases == (["start", "end"] if whole else ["start"]), f"phases {phases}")
    images = sum(n for topic, n in seen.items() if topic.endswith("/image/compressed"))
    print(f"{path.name}: {sum(seen.values())} messages on {len(seen)} topics decoded, {images} pictures")


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        counts = json.loads((pathlib.Path(folder) / "counts.json").read_text())
        for name, expected in counts.items():
            check_file(pathlib.Path(folder) / name, expected, name == "whole.mcap")


main()
