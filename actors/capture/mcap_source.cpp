// MCAP logs as episodes, in file order. Every topic counts its messages; fields of ros2msg topics become columns named
// `topic:field.path`, elements of short arrays `topic:path[0]`, or `topic:position[shoulder]` where the message has a
// list `name` of the same length. JSON messages give columns in the same way. A log that is one whole episode is its
// own slice; else the slice is a new MCAP file (zstd) with the schemas, channels and messages of the episode.
#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "actors/capture/assembler.hpp"
#include "actors/capture/source_impl.hpp"
#include "actors/capture/text.hpp"
#include "storage/mcap/reader.hpp"
#include "storage/mcap/ros2.hpp"
#include "storage/mcap/writer.hpp"

namespace drover::capture {
namespace {

constexpr size_t array_columns_max = 64;  // longer arrays (images, clouds) are not channels
constexpr size_t columns_max = 8192;
constexpr size_t message_overhead_bytes = 64;
constexpr size_t notes_max = 32;
constexpr size_t json_depth_max = 16;
constexpr uint64_t schema_bytes_max = 64 << 20;  // in all; topics of later schemas are counted, not decoded
constexpr size_t decoded_bytes_max = 64 << 10;   // images and clouds hold no channels and would only cost time

struct Topic {
  mcap::Channel channel;
  std::shared_ptr<const mcap::Ros2Schema> schema;  // null: fields are not decoded
  std::string name;                                // printable
  bool json = false;                               // messages are JSON objects
  bool undecodable_noted = false;
  bool large_noted = false;
};

class McapSource final : public LogSource {
 public:
  explicit McapSource(SourceInput input)
      : input_(std::move(input)),
        reader_(input_.file),
        assembler_(*input_.mapping, {input_.options.robot, input_.name, input_.hash, input_.file->size()}) {
    report_.kind = input_.mapping->kind;
    report_.name = input_.name;
    report_.hash = input_.hash;
    report_.size_bytes = input_.file->size();
    if (named_generated(input_.name)) assembler_.mark_generated();
  }

  Result<std::optional<CapturedEpisode>> next() override;
  const SourceReport& report() const noexcept override { return report_; }

 private:
  void note(std::string_view text) {
    if (report_.notes.size() < notes_max) report_.notes.push_back(printable(text, 500));
  }
  void take_table(const mcap::AnyRecord& record);
  void add_topic(const mcap::Channel& channel);
  std::vector<ColumnUse>& uses_of(const std::string& column);
  void read_number(const std::string& column, double value);
  void read_text(const std::string& column, std::string_view text);
  void read_value(const std::string& column, const mcap::Ros2Value& value, const std::vector<std::string>* names);
  void read_json(const std::string& column, const nlohmann::json& value, size_t depth);
  bool decode(Topic& topic, const mcap::Message& message);
  void read_message(Topic& topic, const mcap::Message& message);
  std::optional<CutReason> cut_before(int64_t time_ns, size_t bytes) const;
  Result<std::optional<CapturedEpisode>> take_message(const mcap::Message& message);
  Result<CapturedEpisode> finish_episode(CutReason reason, const std::optional<Assembler::Next>& next);
  Result<std::optional<CapturedEpisode>> finish_file();
  Result<Bytes> write_slice(const CapturedEpisode& episode) const;
  Status write_tables(mcap::Writer& writer) const;

  SourceInput input_;
  mcap::RecordReader reader_;
  Assembler assembler_;
  SourceReport report_;
  mcap::Header header_;
  std::map<uint16_t, mcap::Schema> schemas_;
  uint64_t schema_bytes_ = 0;
  std::map<uint16_t, Topic> topics_;
  std::map<std::string, std::vector<ColumnUse>> columns_;
  std::vector<ColumnUse> no_uses_;
  std::vector<Reading> readings_;
  std::vector<mcap::Message> messages_;  // of the open episode
  uint64_t messages_bytes_ = 0;
  bool done_ = false;
};

void McapSource::add_topic(const mcap::Channel& channel) {
  if (topics_.contains(channel.id)) return;
  Topic topic;
  topic.channel = channel;
  topic.name = printable(channel.topic);
  topic.json = channel.message_encoding == "json";
  const auto schema = schemas_.find(channel.schema_id);
  if (channel.message_encoding == "cdr" && schema != schemas_.end() && schema->second.encoding == "ros2msg") {
    auto parsed = mcap::Ros2Schema::parse(schema->second.name, schema->second.data.text());
    if (parsed) {
      topic.schema = std::make_shared<const mcap::Ros2Schema>(std::move(*parsed));
    } else {
      note("topic " + topic.name + ": schema not understood: " + parsed.error().message());
    }
  }
  if (!topic.schema && !topic.json && channel.message_encoding != "cdr")
    note("topic " + topic.name + ": encoding \"" + channel.message_encoding +
         "\" is not decoded; messages are counted");
  topics_.emplace(channel.id, std::move(topic));
}

void McapSource::take_table(const mcap::AnyRecord& record) {
  if (const auto* header = std::get_if<mcap::Header>(&record)) header_ = *header;
  if (const auto* schema = std::get_if<mcap::Schema>(&record);
      schema && schema_bytes_ < schema_bytes_max && !schemas_.contains(schema->id)) {
    schema_bytes_ += schema->data.size();
    schemas_.try_emplace(schema->id,
                         mcap::Schema{schema->id, schema->name, schema->encoding, Bytes::copy_of(schema->data)});
  }
  if (const auto* channel = std::get_if<mcap::Channel>(&record)) add_topic(*channel);
  if (const auto* metadata = std::get_if<mcap::Metadata>(&record); metadata && metadata->name == "drover.generated")
    assembler_.mark_generated();
}

std::vector<ColumnUse>& McapSource::uses_of(const std::string& column) {
  const auto found = columns_.find(column);
  if (found != columns_.end()) return found->second;
  if (columns_.size() >= columns_max) return no_uses_;
  return columns_.emplace(column, assembler_.add_column(column)).first->second;
}

void McapSource::read_number(const std::string& column, double value) {
  for (const ColumnUse& use : uses_of(column))
    if (!use.on_text) readings_.push_back({use.id, value});
}

void McapSource::read_text(const std::string& column, std::string_view text) {
  // Text is no channel: only events that compare text look at it.
  const auto& events = input_.mapping->events;
  const auto wanted = [&](const EventRule& e) { return e.column == column && e.when.on_text(); };
  if (std::none_of(events.begin(), events.end(), wanted)) return;
  for (const ColumnUse& use : uses_of(column))
    if (use.on_text) readings_.push_back({use.id, use.condition.holds(text) ? 1.0 : 0.0});
}

void McapSource::read_value(const std::string& column, const mcap::Ros2Value& value,
                            const std::vector<std::string>* names) {
  if (const auto* number = std::get_if<double>(&value)) return read_number(column, *number);
  if (const auto* text = std::get_if<std::string>(&value)) return read_text(column, *text);
  const auto* numbers = std::get_if<std::vector<double>>(&value);
  if (numbers == nullptr || numbers->size() > array_columns_max) return;
  const bool named = names != nullptr && names->size() == numbers->size();
  for (size_t i = 0; i < numbers->size(); ++i)
    read_number(column + "[" + (named ? printable((*names)[i], 100) : std::to_string(i)) + "]", (*numbers)[i]);
}

void McapSource::read_message(Topic& topic, const mcap::Message& message) {
  readings_.clear();
  // The topic itself is a column that is 1 at each message, for events; it is no channel.
  const auto& events = input_.mapping->events;
  if (std::any_of(events.begin(), events.end(), [&](const EventRule& e) { return e.column == topic.channel.topic; }))
    for (const ColumnUse& use : uses_of(topic.channel.topic))
      if (!use.is_channel) readings_.push_back({use.id, 1.0});
  if (!topic.schema && !topic.json) return;
  if (message.data.size() > decoded_bytes_max) {
    if (!topic.large_noted) note("topic " + topic.name + ": messages over 64 KiB are counted, not decoded");
    topic.large_noted = true;
    return;
  }
  if (decode(topic, message)) return;
  ++report_.cells_unreadable;
  topic.undecodable_noted = true;
}

// False: the message is not what its schema says; the first one of a topic is noted.
bool McapSource::decode(Topic& topic, const mcap::Message& message) {
  const std::string prefix = topic.channel.topic + ":";
  if (topic.json) {
    const auto value = nlohmann::json::parse(message.data.text(), nullptr, false);
    if (value.is_object()) read_json(topic.channel.topic, value, 0);
    if (!value.is_object() && !topic.undecodable_noted) note("topic " + topic.name + ": a message is no JSON object");
    return value.is_object();
  }
  const auto values = topic.schema->decode(message.data);
  if (!values) {
    if (!topic.undecodable_noted)
      note("topic " + topic.name + ": a message cannot be decoded: " + values.error().message());
    return false;
  }
  const auto name = values->find("name");
  const auto* names = name == values->end() ? nullptr : std::get_if<std::vector<std::string>>(&name->second);
  for (const auto& [path, value] : *values) read_value(prefix + path, value, names);
  return true;
}

// Objects become dotted paths behind the topic's colon, elements of short arrays get their index.
void McapSource::read_json(const std::string& column, const nlohmann::json& value, size_t depth) {
  if (depth > json_depth_max) return;
  if (value.is_boolean()) return read_number(column, value.get<bool>() ? 1 : 0);
  if (value.is_number()) return read_number(column, value.get<double>());
  if (value.is_string()) return read_text(column, value.get_ref<const std::string&>());
  if (value.is_array() && value.size() <= array_columns_max)
    for (size_t i = 0; i < value.size(); ++i) read_json(column + "[" + std::to_string(i) + "]", value[i], depth + 1);
  if (value.is_object())
    for (const auto& [key, inner] : value.items()) read_json(column + (depth == 0 ? ":" : ".") + key, inner, depth + 1);
}

std::optional<CutReason> McapSource::cut_before(int64_t time_ns, size_t bytes) const {
  if (const auto reason = assembler_.cut_before(time_ns, readings_)) return reason;
  const bool too_large = messages_bytes_ + bytes > input_.options.slice_bytes_max;
  return assembler_.open() && too_large ? std::optional(CutReason::size_bound) : std::nullopt;
}

Status McapSource::write_tables(mcap::Writer& writer) const {
  std::set<uint16_t> channels, schemas;
  for (const mcap::Message& message : messages_) channels.insert(message.channel_id);
  for (const uint16_t id : channels) schemas.insert(topics_.at(id).channel.schema_id);
  for (const uint16_t id : schemas)
    if (const auto schema = schemas_.find(id); id != 0 && schema != schemas_.end())
      DROVER_TRY(writer.add_schema(schema->second));
  for (const uint16_t id : channels) {
    mcap::Channel channel = topics_.at(id).channel;
    if (!schemas_.contains(channel.schema_id)) channel.schema_id = 0;
    DROVER_TRY(writer.add_channel(std::move(channel)));
  }
  return {};
}

Result<Bytes> McapSource::write_slice(const CapturedEpisode& episode) const {
  mcap::MemorySink sink;
  mcap::WriterOptions options;
  options.profile = header_.profile;
  options.library = "drover capture";
  DROVER_ASSIGN(mcap::Writer writer, mcap::Writer::open(sink, options));
  mcap::StringMap about = {{"episode_id", episode.header.episode_id},
                           {"source_name", episode.header.source_name},
                           {"source_sha256", to_hex(input_.hash)}};
  DROVER_TRY(writer.write(mcap::Metadata{"drover.episode", about}));
  if (episode.source_type == SourceType::synthetic) DROVER_TRY(writer.write(mcap::Metadata{"drover.generated", {}}));
  DROVER_TRY(write_tables(writer));
  for (const mcap::Message& message : messages_) DROVER_TRY(writer.write(message));
  DROVER_TRY(writer.close());
  return Bytes::copy_of(sink.content());
}

Result<CapturedEpisode> McapSource::finish_episode(CutReason reason, const std::optional<Assembler::Next>& next) {
  if (assembler_.ordinal() == 0)
    for (const std::string& text : report_.notes) assembler_.note(text);
  CapturedEpisode episode = assembler_.close(reason, next);
  ++report_.episodes;
  std::map<std::string, uint64_t> counts;
  for (const mcap::Message& message : messages_) ++counts[topics_.at(message.channel_id).name];
  for (const auto& [topic, count] : counts) episode.header.streams.push_back({topic, "messages", count, 0, 0, 0, 0});
  const bool whole_file = reason == CutReason::end_of_log && episode.ordinal == 0 && !report_.damage &&
                          report_.size_bytes <= input_.options.slice_bytes_max;
  if (episode.ordinal >= input_.options.first_ordinal) {
    if (whole_file) {
      DROVER_ASSIGN(episode.slice, input_.file->read(0, static_cast<size_t>(report_.size_bytes)));
    } else {
      DROVER_ASSIGN(episode.slice, write_slice(episode));
    }
    episode.slice_name = episode.header.episode_id + ".mcap";
    episode.slice_media_type = "application/x-mcap";
  }
  messages_.clear();
  messages_bytes_ = 0;
  return episode;
}

Result<std::optional<CapturedEpisode>> McapSource::finish_file() {
  done_ = true;
  if (const auto& damage = reader_.damage()) {
    if (damage->code == Errc::io) return fail(Errc::io, input_.name, damage->what);
    report_.damage = SourceDamage{damage->offset, damage->what};
    assembler_.note("reading stopped at byte " + std::to_string(damage->offset) + ": " + damage->what);
    assembler_.mark_incomplete();
  }
  if (!assembler_.open()) return std::nullopt;
  DROVER_ASSIGN(CapturedEpisode episode, finish_episode(CutReason::end_of_log, std::nullopt));
  if (episode.ordinal < input_.options.first_ordinal) return std::nullopt;
  return std::optional(std::move(episode));
}

// One message; gives the episode that it ended.
Result<std::optional<CapturedEpisode>> McapSource::take_message(const mcap::Message& message) {
  const auto topic = topics_.find(message.channel_id);
  const bool timed = message.log_time_ns <= static_cast<uint64_t>(time_max_ns);
  const auto time_ns = timed ? assembler_.admit(static_cast<int64_t>(message.log_time_ns)) : std::nullopt;
  if (topic == topics_.end() || !time_ns) {
    ++report_.rows_skipped;
    return std::nullopt;
  }
  read_message(topic->second, message);
  const size_t bytes = message.data.size() + message_overhead_bytes;
  std::optional<CapturedEpisode> finished;
  if (const auto reason = cut_before(*time_ns, bytes)) {
    DROVER_ASSIGN(finished, finish_episode(*reason, Assembler::Next{*time_ns, readings_}));
  }
  assembler_.push(*time_ns, readings_);
  messages_.push_back(message);
  messages_bytes_ += bytes;
  ++report_.rows;
  if (finished && finished->ordinal >= input_.options.first_ordinal) return finished;
  return std::nullopt;
}

Result<std::optional<CapturedEpisode>> McapSource::next() {
  while (!done_) {
    auto item = reader_.next();
    if (!item) return finish_file();
    if (const auto* message = std::get_if<mcap::Message>(&item->record)) {
      DROVER_ASSIGN(auto finished, take_message(*message));
      if (finished) return finished;
    } else {
      take_table(item->record);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<LogSource>> open_mcap(SourceInput input) {
  return std::unique_ptr<LogSource>(std::make_unique<McapSource>(std::move(input)));
}

}  // namespace drover::capture
