// Log files: CSV, MCAP, recordings, ROS 2 messages, pictures, and the mappings that say how to read them.
#include <algorithm>
#include <memory>

#include "actors/capture/csv.hpp"
#include "actors/capture/generate.hpp"
#include "actors/capture/jpeg.hpp"
#include "actors/capture/mapping.hpp"
#include "actors/capture/recorder.hpp"
#include "actors/capture/recording_reader.hpp"
#include "actors/capture/source.hpp"
#include "actors/capture/spool.hpp"
#include "storage/mcap/cdr.hpp"
#include "storage/mcap/reader.hpp"
#include "storage/mcap/ros2.hpp"
#include "storage/mcap/writer.hpp"
#include "stress/fuzz/target.hpp"

namespace drover::fuzz {
namespace {

constexpr std::string_view mcap_magic("\x89MCAP0\r\n", 8);

std::shared_ptr<const mcap::Source> source_of(std::string_view text) {
  return mcap::memory_source(Bytes::copy_of(text));
}

// Rows come in order, and no two of them share bytes.
void csv(ByteView bytes) {
  capture::CsvFormat format;
  format.comment = "#";
  format.line_bytes_max = 2048;
  format.columns_max = 64;
  capture::CsvReader reader(source_of(as_text(bytes)), format);
  if (!reader.read_header()) return;
  uint64_t end = reader.header_end();
  while (const capture::CsvRow* row = reader.next()) {
    DROVER_CHECK(row->offset >= end && row->end > row->offset && row->end <= bytes.size(), "rows overlap");
    end = row->end;
  }
}

const std::vector<std::shared_ptr<const capture::Mapping>>& shipped_mappings() {
  static const auto mappings = capture::load_mappings(configs_folder() + "/mappings");
  DROVER_CHECK(mappings.has_value(), "the shipped mappings do not load");
  return *mappings;
}

capture::CaptureOptions capture_options(uint64_t first_ordinal = 0) {
  capture::CaptureOptions options;
  options.robot = "robot-1";
  options.first_ordinal = first_ordinal;
  options.slice_bytes_max = 64 << 10;
  return options;
}

std::vector<std::string> episode_ids(capture::LogSource& source) {
  std::vector<std::string> ids;
  for (;;) {
    const auto episode = source.next();
    DROVER_CHECK(episode.has_value(), "reading memory failed");
    if (!*episode) return ids;
    ids.push_back((*episode)->header.episode_id);
    DROVER_CHECK(ids.size() <= 100'000, "more episodes than bytes");
  }
}

// Which of the shipped mappings fits, and the episodes of the file; a source that begins later gives the same rest.
void log_file(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  const std::string name = text.starts_with(mcap_magic) ? "log.mcap" : "log.csv";
  const auto source = capture::open_log(name, source_of(text), shipped_mappings(), capture_options());
  if (!source) return;
  const auto all = episode_ids(**source);
  if (all.size() < 2) return;
  const auto rest = capture::open_log(name, source_of(text), shipped_mappings(), capture_options(1));
  DROVER_CHECK(rest.has_value(), "the same file does not open again");
  const auto later = episode_ids(**rest);
  DROVER_CHECK(std::equal(later.begin(), later.end(), all.begin() + 1, all.end()),
               "a later start gives other episodes");
}

// A mapping, a zero byte, and a file to read with it.
void mapping(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  const size_t middle = text.find('\0');
  const auto parsed = capture::parse_mapping(text.substr(0, middle), "fuzz.toml");
  if (!parsed || middle == std::string_view::npos) return;
  const std::string_view content = text.substr(middle + 1);
  const auto shared = std::make_shared<const capture::Mapping>(*parsed);
  const std::string name = content.starts_with(mcap_magic) ? "log.mcap" : "log.csv";
  const auto source = capture::open_log(name, source_of(content), Hash{}, shared, capture_options());
  if (source) (void)episode_ids(**source);
}

// Two readers of the same container: by records, and by messages with and without the index.
void mcap_file(ByteView bytes) {
  const auto source = source_of(as_text(bytes));
  mcap::ReadOptions options;
  mcap::RecordReader reader(source, options);
  uint64_t records = 0;
  while (reader.next()) ++records;
  if (const auto summary = mcap::read_summary(*source, options)) {
    for (const auto& index : summary->attachments) (void)mcap::read_attachment(*source, index, options);
    for (const auto& index : summary->metadata) (void)mcap::read_metadata(*source, index, options);
  }
  for (const bool use_index : {true, false}) {
    mcap::MessageQuery query;
    query.use_index = use_index;
    const auto report = mcap::read_messages(source, query, options, [](const mcap::ReadMessage&) { return true; });
    DROVER_CHECK(use_index || report.message_count <= records, "more messages than records");
  }
}

void recording(ByteView bytes) {
  capture::RecordingVisitor nobody;
  (void)capture::read_recording(source_of(as_text(bytes)), nobody);
}

// A schema text, a zero byte, and a message of it.
void ros2(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  const size_t middle = text.find('\0');
  const auto schema = mcap::Ros2Schema::parse("pkg/msg/Type", text.substr(0, middle));
  if (!schema || middle == std::string_view::npos) return;
  (void)schema->decode(as_bytes(text.substr(middle + 1)));
}

void cdr(ByteView bytes) {
  if (bytes.empty()) return;
  const auto kind = static_cast<uint8_t>(bytes.front());
  const ByteView payload = bytes.subspan(1);
  if (kind == 0) return (void)mcap::read_std_string(payload);
  if (kind == 1) return (void)mcap::read_ros_log(payload);
  const auto state = mcap::read_joint_state(payload);
  if (!state) return;
  const Bytes written = mcap::write_joint_state(*state);
  const auto again = mcap::read_joint_state(written);
  DROVER_CHECK(again && mcap::write_joint_state(*again) == written, "reading and writing changes a message");
}

void jpeg(ByteView bytes) {
  static capture::JpegDecoder decoder;
  static capture::RgbImage image;
  if (decoder.decode(bytes, image, 256))
    DROVER_CHECK(image.rgb.size() == size_t{3} * image.width * image.height, "a picture of another size");
}

void spool_mark(ByteView bytes) {
  const auto mark = capture::decode_mark(bytes);
  if (!mark) return;
  const Bytes written = capture::encode(*mark);
  const auto again = capture::decode_mark(written);
  DROVER_CHECK(again && *again == *mark, "reading and writing changes a mark");
}

// ---- seeds

capture::GeneratedLog generated(size_t kind) {
  capture::GenerateOptions options;
  options.episodes = 2;
  auto made = capture::generate_logs(options);
  DROVER_CHECK(made && made->size() > kind, "no logs to start from");
  return std::move((*made)[kind]);
}

std::string head_of(const std::string& text, size_t bytes) {
  const size_t end = text.rfind('\n', bytes);
  return text.size() <= bytes || end == std::string::npos ? text : text.substr(0, end + 1);
}

Seeds csv_seeds() {
  return {"a;b;c\n1,5;2;3\r\n\"x;y\";;\n# no row\n", "time,x\n1,\"a \"\"b\"\"\n2,\n",
          head_of(generated(0).content, 2000)};
}
Seeds log_seeds() {
  return {head_of(generated(0).content, 6000), head_of(generated(1).content, 6000),
          generated(2).content.substr(0, 8000)};
}
Seeds mapping_seeds() {
  const std::string folder = configs_folder() + "/mappings/";
  std::string csv_text = read_file(folder + "csv_any.toml");
  csv_text.push_back('\0');
  csv_text += "time,x,y\n0.0,1,2\n0.1,1,3\n";
  std::string ur3 = read_file(folder + "ur3_cobotops.toml");
  ur3.push_back('\0');
  ur3 += head_of(generated(0).content, 2000);
  return {csv_text, ur3, read_file(folder + "ros2_mcap.toml")};
}

std::string small_mcap(mcap::Compression compression, bool chunked) {
  mcap::MemorySink sink;
  mcap::WriterOptions options;
  options.compression = compression;
  options.chunked = chunked;
  options.chunk_size_bytes = 200;
  auto writer = mcap::Writer::open(sink, options);
  DROVER_CHECK(writer.has_value(), "no writer");
  const auto schema = writer->add_schema("std_msgs/msg/String", "ros2msg", Bytes::copy_of("string data\n"));
  const auto channel = writer->add_channel("/say", "cdr", schema.value_or(0));
  for (uint64_t i = 0; i < 8; ++i) {
    mcap::Message message;
    message.channel_id = channel.value_or(0);
    message.sequence = static_cast<uint32_t>(i);
    message.log_time_ns = message.publish_time_ns = i * 1000;
    message.data = mcap::write_std_string("something said");
    (void)writer->write(message);
  }
  (void)writer->close();
  return std::string(sink.content());
}

Seeds mcap_seeds() {
  return {small_mcap(mcap::Compression::none, true), small_mcap(mcap::Compression::none, false),
          small_mcap(mcap::Compression::zstd, true), small_mcap(mcap::Compression::lz4, true)};
}

Seeds recording_seeds() {
  mcap::MemorySink sink;
  capture::RecordingStart start;
  start.robot = "robot-1";
  start.task_name = "drawer_open";
  start.world = "drawer_vase";
  start.engine = "mujoco";
  start.policy = "script";
  start.joints = {{"shoulder", "arm", "none", 0.1, false}, {"finger", "hand", "gripper", 0, true}};
  auto recorder = capture::Recorder::open(sink, start, {400, 0.1});
  DROVER_CHECK(recorder.has_value(), "no recorder");
  const double values[] = {0.1, 0.2};
  const capture::RecordedFrame frames[] = {{"drawer", "world", {}, true, 0.5}};
  const capture::RecordedContact touch[] = {{"finger", "handle", 3.5, {0, 1, 2}}};
  for (int i = 0; i < 4; ++i) {
    const double t = 0.05 * i;
    (void)(*recorder)->joints(t, {values, values, values, values});
    (void)(*recorder)->scene(t, frames);
    (void)(*recorder)->contacts(t, touch);
    (void)(*recorder)->sense(t, {});
    (void)(*recorder)->image(t, "main", as_bytes("\xff\xd8no picture"));
  }
  (void)(*recorder)->finish({}, {});
  return {std::string(sink.content())};
}

Seeds ros2_seeds() {
  const std::string text =
      "std_msgs/Header header\nfloat64[] position\nstring<=8[<=3] name\nuint8 A=3\nbool ok true\n"
      "===\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
      "===\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n";
  std::string message = text;
  message.push_back('\0');
  mcap::JointState state;
  state.frame_id = "base";
  state.name = {"a", "b"};
  state.position = {1, 2};
  message += mcap::write_joint_state(state).text();
  return {message, "int32 x\n---\nint32 y\n", "wstring<=4 w\nchar c\nbyte[3] b\n"};
}

Seeds cdr_seeds() {
  mcap::JointState state;
  state.frame_id = "base";
  state.name = {"a", "b"};
  state.position = state.velocity = state.effort = {1, 2};
  return {"\x02" + std::string(mcap::write_joint_state(state).text()),
          std::string(1, '\0') + std::string(mcap::write_std_string("hello").text())};
}

Seeds jpeg_seeds() {
  Seeds seeds;
  capture::JpegEncoder encoder;
  std::vector<uint8_t> pixels(3 * 16 * 16);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7);
  for (const int quality : {30, 95})
    if (const auto picture = encoder.encode(pixels, 16, 16, quality)) seeds.emplace_back(as_text(*picture));
  return seeds;
}

Seeds spool_mark_seeds() {
  capture::SpoolMark mark;
  mark.file = {"log.csv", 12345, 1'700'000'000'000'000'000};
  mark.state = capture::MarkState::quarantined;
  mark.next_ordinal = 7;
  mark.detail = "why";
  return {std::string(capture::encode(mark).text())};
}

}  // namespace

std::span<const Target> log_targets() {
  static const std::vector<Target> list = {
      {"csv", "rows of delimited text", "csv", 4096, csv, csv_seeds},
      {"log_file", "logs of robots through the shipped mappings", "csv", 8192, log_file, log_seeds},
      {"mapping", "mappings, and logs through them", "mapping", 8192, mapping, mapping_seeds},
      {"mcap", "MCAP containers", "mcap", 4096, mcap_file, mcap_seeds},
      {"recording", "recordings of episodes", "mcap", 8192, recording, recording_seeds},
      {"ros2", "ROS 2 message definitions and messages", "ros2", 4096, ros2, ros2_seeds},
      {"cdr", "ROS 2 messages that are known", "", 2048, cdr, cdr_seeds},
      {"jpeg", "pictures", "", 4096, jpeg, jpeg_seeds},
      {"spool_mark", "what a robot keeps about files it has taken", "json", 1024, spool_mark, spool_mark_seeds},
  };
  return list;
}

}  // namespace drover::fuzz
