#include "storage/mcap/cdr.hpp"

namespace drover::mcap {

Result<CdrReader> CdrReader::open(ByteView payload) {
  if (payload.size() < 4) return fail(Errc::truncated, "cdr", "the payload is shorter than its 4-byte head");
  const auto kind = (static_cast<unsigned>(payload[0]) << 8) | static_cast<unsigned>(payload[1]);
  if (kind > 1)
    return fail(Errc::unsupported_version, "cdr", "encapsulation " + std::to_string(kind) + " is not plain CDR");
  const bool little = kind == 1;
  return CdrReader(payload.subspan(4), little != (std::endian::native == std::endian::little));
}

tl::unexpected<Error> CdrReader::over_the_end() const {
  return fail(Errc::truncated, "cdr@" + std::to_string(at_), "a value runs over the end of the payload");
}

Status CdrReader::align(size_t size) {
  const size_t padding = (size - at_ % size) % size;
  if (padding > remaining()) return over_the_end();
  at_ += padding;
  return {};
}

Result<std::string> CdrReader::read_string(uint64_t bytes_max) {
  DROVER_ASSIGN(const uint32_t size, read<uint32_t>());
  if (size > remaining()) return over_the_end();
  if (size > 0 && size - 1 > bytes_max) return fail(Errc::too_large, "cdr", "a string is over its bound");
  std::string text(as_text(body_.subspan(at_, size)));
  at_ += size;
  if (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

Result<uint32_t> CdrReader::read_length(size_t element_bytes_min, uint64_t count_max) {
  DROVER_ASSIGN(const uint32_t count, read<uint32_t>());
  if (count > remaining() / element_bytes_min) return over_the_end();
  if (count > count_max) return fail(Errc::too_large, "cdr", "a sequence is over its bound");
  return count;
}

Result<std::vector<std::string>> CdrReader::read_strings() {
  DROVER_ASSIGN(const uint32_t count, read_length(4));
  std::vector<std::string> values(count);
  for (auto& value : values) {
    DROVER_ASSIGN(value, read_string());
  }
  return values;
}

CdrWriter::CdrWriter(std::endian order) : swap_(order != std::endian::native) {
  out_.assign({'\0', order == std::endian::little ? '\1' : '\0', '\0', '\0'});
}

void CdrWriter::write_string(std::string_view text) {
  write(static_cast<uint32_t>(text.size() + 1));
  out_.append(text);
  out_.push_back('\0');
}

void CdrWriter::write_bytes(ByteView values) {
  write(static_cast<uint32_t>(values.size()));
  out_.append(as_text(values));
}

void CdrWriter::write_strings(const std::vector<std::string>& values) {
  write(static_cast<uint32_t>(values.size()));
  for (const auto& value : values) write_string(value);
}

namespace {

Result<RosTime> read_time(CdrReader& in) {
  RosTime time;
  DROVER_ASSIGN(time.sec, in.read<int32_t>());
  DROVER_ASSIGN(time.nanosec, in.read<uint32_t>());
  return time;
}

}  // namespace

Result<std::string> read_std_string(ByteView payload) {
  DROVER_ASSIGN(CdrReader in, CdrReader::open(payload));
  return in.read_string();
}

Result<JointState> read_joint_state(ByteView payload) {
  DROVER_ASSIGN(CdrReader in, CdrReader::open(payload));
  JointState state;
  DROVER_ASSIGN(state.stamp, read_time(in));
  DROVER_ASSIGN(state.frame_id, in.read_string());
  DROVER_ASSIGN(state.name, in.read_strings());
  DROVER_ASSIGN(state.position, in.read_sequence<double>());
  DROVER_ASSIGN(state.velocity, in.read_sequence<double>());
  DROVER_ASSIGN(state.effort, in.read_sequence<double>());
  for (const auto* values : {&state.position, &state.velocity, &state.effort})
    if (!values->empty() && values->size() != state.name.size())
      return fail(Errc::corrupt, "sensor_msgs/JointState", "a field has neither no values nor one for each name");
  return state;
}

Result<RosLog> read_ros_log(ByteView payload) {
  DROVER_ASSIGN(CdrReader in, CdrReader::open(payload));
  RosLog log;
  DROVER_ASSIGN(log.stamp, read_time(in));
  DROVER_ASSIGN(log.level, in.read<uint8_t>());
  DROVER_ASSIGN(log.name, in.read_string());
  DROVER_ASSIGN(log.msg, in.read_string());
  DROVER_ASSIGN(log.file, in.read_string());
  DROVER_ASSIGN(log.function, in.read_string());
  DROVER_ASSIGN(log.line, in.read<uint32_t>());
  return log;
}

Bytes write_std_string(std::string_view text) {
  CdrWriter out;
  out.write_string(text);
  return out.take();
}

Bytes write_joint_state(const JointState& state) {
  CdrWriter out;
  out.write(state.stamp.sec);
  out.write(state.stamp.nanosec);
  out.write_string(state.frame_id);
  out.write_strings(state.name);
  out.write_sequence(state.position);
  out.write_sequence(state.velocity);
  out.write_sequence(state.effort);
  return out.take();
}

}  // namespace drover::mcap
