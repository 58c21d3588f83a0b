#include "storage/mcap/ros2_messages.hpp"

namespace drover::mcap {
namespace {

#define DROVER_MSG_RULE "================================================================================\n"
#define DROVER_MSG_TIME DROVER_MSG_RULE "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
#define DROVER_MSG_HEADER \
  DROVER_MSG_RULE "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n" DROVER_MSG_TIME

constexpr std::string_view joint_state_text =
    "std_msgs/Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n"  //
    DROVER_MSG_HEADER;

constexpr std::string_view compressed_image_text = "std_msgs/Header header\nstring format\nuint8[] data\n"  //
    DROVER_MSG_HEADER;

constexpr std::string_view camera_info_text =
    "std_msgs/Header header\nuint32 height\nuint32 width\nstring distortion_model\nfloat64[] d\nfloat64[9] k\n"
    "float64[9] r\nfloat64[12] p\nuint32 binning_x\nuint32 binning_y\nRegionOfInterest roi\n"  //
    DROVER_MSG_RULE
    "MSG: sensor_msgs/RegionOfInterest\nuint32 x_offset\nuint32 y_offset\nuint32 height\nuint32 width\n"
    "bool do_rectify\n"  //
    DROVER_MSG_HEADER;

constexpr std::string_view tf_text =
    "geometry_msgs/TransformStamped[] transforms\n"  //
    DROVER_MSG_RULE
    "MSG: geometry_msgs/TransformStamped\nstd_msgs/Header header\nstring child_frame_id\nTransform transform\n"  //
    DROVER_MSG_RULE "MSG: geometry_msgs/Transform\nVector3 translation\nQuaternion rotation\n"                   //
    DROVER_MSG_RULE "MSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"                              //
    DROVER_MSG_RULE "MSG: geometry_msgs/Quaternion\nfloat64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1\n"        //
    DROVER_MSG_HEADER;

constexpr std::string_view log_text =
    "byte DEBUG=10\nbyte INFO=20\nbyte WARN=30\nbyte ERROR=40\nbyte FATAL=50\nbuiltin_interfaces/Time stamp\n"
    "uint8 level\nstring name\nstring msg\nstring file\nstring function\nuint32 line\n"  //
    DROVER_MSG_TIME;

#undef DROVER_MSG_HEADER
#undef DROVER_MSG_TIME
#undef DROVER_MSG_RULE

void write_header(CdrWriter& out, const RosTime& stamp, std::string_view frame_id) {
  out.write(stamp.sec);
  out.write(stamp.nanosec);
  out.write_string(frame_id);
}

template <size_t n>
void write_all(CdrWriter& out, const std::array<double, n>& values) {
  for (const double value : values) out.write(value);
}

}  // namespace

std::string_view ros2_definition(std::string_view name) noexcept {
  if (name == "sensor_msgs/msg/JointState") return joint_state_text;
  if (name == "sensor_msgs/msg/CompressedImage") return compressed_image_text;
  if (name == "sensor_msgs/msg/CameraInfo") return camera_info_text;
  if (name == "tf2_msgs/msg/TFMessage") return tf_text;
  if (name == "rcl_interfaces/msg/Log") return log_text;
  if (name == "std_msgs/msg/String") return "string data\n";
  if (name == "std_msgs/msg/Float64") return "float64 data\n";
  return {};
}

std::string ros2_qos_profile(bool latched) {
  constexpr std::string_view forever = "\n    sec: 9223372036\n    nsec: 854775807\n";
  std::string out = "- history: ";
  out.append(latched ? "1" : "3").append("\n  depth: ").append(latched ? "1" : "0");
  out.append("\n  reliability: 1\n  durability: ").append(latched ? "1" : "2").append("\n  deadline:").append(forever);
  out.append("  lifespan:").append(forever).append("  liveliness: 1\n  liveliness_lease_duration:").append(forever);
  return out.append("  avoid_ros_namespace_conventions: false");
}

RosTime ros_time(int64_t unix_ns) noexcept {
  constexpr int64_t second_ns = 1'000'000'000;
  int64_t sec = unix_ns / second_ns;
  int64_t rest_ns = unix_ns % second_ns;
  if (rest_ns < 0) {
    --sec;
    rest_ns += second_ns;
  }
  return {static_cast<int32_t>(sec), static_cast<uint32_t>(rest_ns)};
}

Bytes write_compressed_image(const Ros2Image& image) {
  CdrWriter out;
  write_header(out, image.stamp, image.frame_id);
  out.write_string(image.format);
  out.write_bytes(image.data);
  return out.take();
}

Result<Ros2ImageView> read_compressed_image(ByteView payload) {
  DROVER_ASSIGN(CdrReader in, CdrReader::open(payload));
  Ros2ImageView view;
  DROVER_ASSIGN(view.stamp.sec, in.read<int32_t>());
  DROVER_ASSIGN(view.stamp.nanosec, in.read<uint32_t>());
  DROVER_ASSIGN(view.frame_id, in.read_string());
  DROVER_ASSIGN(view.format, in.read_string());
  DROVER_ASSIGN(const uint32_t size, in.read_length(1));
  view.data_bytes = size;
  view.data_offset = payload.size() - in.remaining();
  return view;
}

Bytes write_camera_info(const Ros2Camera& camera) {
  const double f = camera.focal_px, cx = camera.width / 2.0, cy = camera.height / 2.0;
  CdrWriter out;
  write_header(out, camera.stamp, camera.frame_id);
  out.write(camera.height);
  out.write(camera.width);
  out.write_string("plumb_bob");
  out.write_sequence(std::vector<double>(5, 0.0));
  write_all(out, std::array<double, 9>{f, 0, cx, 0, f, cy, 0, 0, 1});
  write_all(out, std::array<double, 9>{1, 0, 0, 0, 1, 0, 0, 0, 1});
  write_all(out, std::array<double, 12>{f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1, 0});
  for (int i = 0; i < 6; ++i) out.write(uint32_t{0});  // binning, region of interest: none
  out.write(false);
  return out.take();
}

Bytes write_transforms(std::span<const Ros2Transform> transforms) {
  CdrWriter out;
  out.write(static_cast<uint32_t>(transforms.size()));
  for (const Ros2Transform& t : transforms) {
    write_header(out, t.stamp, t.parent);
    out.write_string(t.child);
    write_all(out, t.translation_m);
    const auto& [w, x, y, z] = t.rotation_wxyz;
    write_all(out, std::array<double, 4>{x, y, z, w});
  }
  return out.take();
}

Bytes write_ros_log(const RosLog& log) {
  CdrWriter out;
  out.write(log.stamp.sec);
  out.write(log.stamp.nanosec);
  out.write(log.level);
  for (const std::string* text : {&log.name, &log.msg, &log.file, &log.function}) out.write_string(*text);
  out.write(log.line);
  return out.take();
}

Bytes write_float64(double value) {
  CdrWriter out;
  out.write(value);
  return out.take();
}

}  // namespace drover::mcap
