// The ROS 2 message types that the product writes: their ros2msg definitions with everything they depend on, and their
// CDR form. JointState, String and Log are read back by cdr.hpp, anything by ros2.hpp.
//
// Invariants: definitions are those of ROS 2 Humble without the comments; equal values give equal bytes. Writing cannot
// fail; sizes are the caller's part.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/mcap/cdr.hpp"

namespace drover::mcap {

// The text of an MCAP Schema record (encoding "ros2msg") for "sensor_msgs/msg/JointState", ".../CompressedImage",
// ".../CameraInfo", "tf2_msgs/msg/TFMessage", "rcl_interfaces/msg/Log", "std_msgs/msg/String" and ".../Float64". Empty
// for any other name.
std::string_view ros2_definition(std::string_view name) noexcept;

// The channel metadata `offered_qos_profiles` as rosbag2 writes it. `latched`: late subscribers get the last message.
std::string ros2_qos_profile(bool latched);

RosTime ros_time(int64_t unix_ns) noexcept;

struct Ros2Image {  // sensor_msgs/msg/CompressedImage
  RosTime stamp;
  std::string_view frame_id;
  std::string_view format;  // "jpeg"
  ByteView data;
};
Bytes write_compressed_image(const Ros2Image& image);
struct Ros2ImageView {
  RosTime stamp;
  std::string frame_id, format;
  size_t data_offset = 0;  // of the picture in the payload
  size_t data_bytes = 0;
};
// Errors: truncated, corrupt, unsupported_version.
Result<Ros2ImageView> read_compressed_image(ByteView payload);

struct Ros2Camera {  // sensor_msgs/msg/CameraInfo of a pinhole camera without distortion
  RosTime stamp;
  std::string_view frame_id;
  uint32_t width = 0;
  uint32_t height = 0;
  double focal_px = 0;
};
Bytes write_camera_info(const Ros2Camera& camera);

struct Ros2Transform {  // geometry_msgs/msg/TransformStamped
  RosTime stamp;
  std::string_view parent;
  std::string_view child;
  std::array<double, 3> translation_m{};
  std::array<double, 4> rotation_wxyz{1, 0, 0, 0};
};
Bytes write_transforms(std::span<const Ros2Transform> transforms);  // tf2_msgs/msg/TFMessage

Bytes write_ros_log(const RosLog& log);
Bytes write_float64(double value);

}  // namespace drover::mcap
