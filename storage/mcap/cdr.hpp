// Plain CDR (XCDR version 1), the encoding of ROS 2 messages: a reader, a writer, and the few message types that the
// product itself reads.
//
// Invariants: values are aligned to their own size (at most 8) counted from behind the 4-byte encapsulation head; a
// read over the end fails and changes nothing outside the reader; a sequence length is checked against the bytes there
// are before anything is allocated. Not handled: parameter lists (PL_CDR) and XCDR version 2, which give
// unsupported_version.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover::mcap {

class CdrReader {
 public:
  // `payload` must outlive the reader. Errors: truncated (no head), unsupported_version.
  static Result<CdrReader> open(ByteView payload);

  // Integers, float and double. Errors: truncated.
  template <class T>
  Result<T> read() {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8);
    DROVER_TRY(align(sizeof(T)));
    if (remaining() < sizeof(T)) return over_the_end();
    std::byte raw[sizeof(T)];
    for (size_t i = 0; i < sizeof(T); ++i) raw[swap_ ? sizeof(T) - 1 - i : i] = body_[at_ + i];
    at_ += sizeof(T);
    if constexpr (std::is_same_v<T, bool>) {
      return raw[0] != std::byte{0};
    } else {
      T value;
      std::memcpy(&value, raw, sizeof(T));
      return value;
    }
  }
  // Without the terminating NUL. Errors: truncated, too_large (longer than `bytes_max`).
  Result<std::string> read_string(uint64_t bytes_max = UINT32_MAX);
  // A sequence's length, checked: each element takes at least `element_bytes_min` (> 0) of what is left.
  Result<uint32_t> read_length(size_t element_bytes_min, uint64_t count_max = UINT32_MAX);
  template <class T>
  Result<std::vector<T>> read_sequence() {
    DROVER_ASSIGN(const uint32_t count, read_length(sizeof(T)));
    std::vector<T> values(count);
    for (auto& value : values) {
      DROVER_ASSIGN(value, read<T>());
    }
    return values;
  }
  Result<std::vector<std::string>> read_strings();

  size_t remaining() const noexcept { return body_.size() - at_; }
  size_t position() const noexcept { return at_; }  // behind the head

 private:
  CdrReader(ByteView body, bool swap) : body_(body), swap_(swap) {}
  Status align(size_t size);
  tl::unexpected<Error> over_the_end() const;

  ByteView body_;
  size_t at_ = 0;
  bool swap_;
};

class CdrWriter {
 public:
  explicit CdrWriter(std::endian order = std::endian::little);

  template <class T>
  void write(T value) {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8);
    while ((out_.size() - kHeadBytes) % sizeof(T) != 0) out_.push_back('\0');
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    for (size_t i = 0; i < sizeof(T); ++i) out_.push_back(raw[swap_ ? sizeof(T) - 1 - i : i]);
  }
  void write_string(std::string_view text);
  template <class T>
  void write_sequence(const std::vector<T>& values) {
    write(static_cast<uint32_t>(values.size()));
    for (const auto value : values) write<T>(value);
  }
  void write_strings(const std::vector<std::string>& values);
  void write_bytes(ByteView values);  // a sequence of uint8

  Bytes take() const { return Bytes::copy_of(out_); }

 private:
  static constexpr size_t kHeadBytes = 4;
  std::string out_;
  bool swap_;
};

struct RosTime {
  int32_t sec = 0;
  uint32_t nanosec = 0;
  bool operator==(const RosTime&) const = default;
};

// sensor_msgs/msg/JointState: position rad or m, velocity rad/s or m/s, effort Nm or N; each empty or one per name.
struct JointState {
  RosTime stamp;
  std::string frame_id;
  std::vector<std::string> name;
  std::vector<double> position, velocity, effort;
  bool operator==(const JointState&) const = default;
};

// rcl_interfaces/msg/Log
struct RosLog {
  RosTime stamp;
  uint8_t level = 0;  // 10 debug, 20 info, 30 warn, 40 error, 50 fatal
  std::string name, msg, file, function;
  uint32_t line = 0;
  bool operator==(const RosLog&) const = default;
};

// Errors of all: truncated, corrupt, unsupported_version. Bytes behind the last field are ignored (padding).
Result<std::string> read_std_string(ByteView payload);  // std_msgs/msg/String
Result<JointState> read_joint_state(ByteView payload);
Result<RosLog> read_ros_log(ByteView payload);

Bytes write_std_string(std::string_view text);
Bytes write_joint_state(const JointState& state);

}  // namespace drover::mcap
