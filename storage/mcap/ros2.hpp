// ros2msg schemas: from the text in an MCAP Schema record to a field tree, and with it any message to named values.
//
// Invariants: parsing and decoding are bounded by Ros2Limits, whatever the text or the payload say. The same input
// gives the same map. Numbers become double: integers beyond 2^53 lose their last digits (epoch nanoseconds in one
// int64 do; ROS times, being seconds and nanoseconds apart, do not). Not handled: wstring fields (reported as
// unsupported_version); default values and constants are not part of the map.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "storage/mcap/cdr.hpp"

namespace drover::mcap {

struct Ros2Limits {
  size_t path_bytes_max = size_t{64} << 20;  // names of all values of one decoded map
  size_t text_bytes_max = size_t{1} << 20;
  size_t field_count_max = 16384;               // in all definitions together
  size_t depth_max = 32;                        // nesting of messages
  size_t value_count_max = size_t{1} << 20;     // entries in one decoded map
  size_t element_count_max = size_t{16} << 20;  // elements of one array of numbers or strings
};

enum class Ros2Type : uint8_t {
  boolean,
  uint8,
  int8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
  float32,
  float64,
  string,
  wstring,
  message,
};

struct Ros2Field {
  enum class Array : uint8_t { none, fixed, sequence };
  std::string name;
  Ros2Type type = Ros2Type::uint8;
  Array array = Array::none;
  uint32_t array_size = 0;        // of a fixed array; the bound of a sequence, 0: none
  uint32_t string_bytes_max = 0;  // 0: no bound
  size_t definition = 0;          // index into Ros2Schema::definitions() for messages
  std::string type_name;          // as written, for messages
};

struct Ros2Definition {
  std::string package, name;
  std::vector<Ros2Field> fields;
};

// An array of messages has no value of its own: its elements' fields are "poses[3].position.x".
using Ros2Value = std::variant<double, std::string, std::vector<double>, std::vector<std::string>>;
using Ros2Values = std::map<std::string, Ros2Value>;

class Ros2Schema {
 public:
  // `name` is the Schema record's, "package/msg/Type" or "package/Type". A service event ("..._Event") whose text is
  // a service definition (request, "---", response), as rosbag2 writes it, is read as info, request[<=1],
  // response[<=1]. Errors: corrupt (not ros2msg text, names the line), not_found (a type is not defined in the text),
  // too_large.
  static Result<Ros2Schema> parse(std::string_view name, std::string_view text, const Ros2Limits& limits = {});

  // Errors: truncated, too_large (a bound of the schema or a limit), corrupt, unsupported_version.
  Result<Ros2Values> decode(ByteView payload) const;

  // The root is the first.
  const std::vector<Ros2Definition>& definitions() const noexcept { return definitions_; }

 private:
  std::vector<Ros2Definition> definitions_;
  Ros2Limits limits_;
};

// Parses and decodes in one step; for many messages keep the Ros2Schema.
Result<Ros2Values> decode_ros2(std::string_view name, std::string_view text, ByteView payload);

}  // namespace drover::mcap
