// Recordings as a LogSource: one file is exactly one episode, with exact facts; a file that was cut or damaged is a
// labelled prefix, and its slice is a new, whole MCAP file with the messages that could be read.
#include <utility>

#include "actors/capture/recording_facts.hpp"
#include "actors/capture/source_impl.hpp"
#include "actors/capture/text.hpp"
#include "storage/mcap/reader.hpp"
#include "storage/mcap/writer.hpp"

namespace drover::capture {
namespace {

// Two who hear the same.
class BothHear final : public RecordingVisitor {
 public:
  BothHear(RecordingVisitor& a, RecordingVisitor& b) : a_(a), b_(b) {}
  void start(const RecordingStart& start) override { a_.start(start), b_.start(start); }
  void joints(double time_s, const JointSample& s) override { a_.joints(time_s, s), b_.joints(time_s, s); }
  void image(double time_s, const RecordedCamera& camera, const Bytes& jpeg) override {
    a_.image(time_s, camera, jpeg), b_.image(time_s, camera, jpeg);
  }
  void objects(double time_s, std::span<const RecordedFrame> f) override {
    a_.objects(time_s, f), b_.objects(time_s, f);
  }
  void sense(double time_s, const RecordedSense& s) override { a_.sense(time_s, s), b_.sense(time_s, s); }
  void contacts(double time_s, std::span<const RecordedContact> c) override {
    a_.contacts(time_s, c), b_.contacts(time_s, c);
  }
  void event(const RecordedEvent& event) override { a_.event(event), b_.event(event); }
  void skill_begin(const RecordedSkill& skill) override { a_.skill_begin(skill), b_.skill_begin(skill); }
  void skill_end(const RecordedSkill& skill) override { a_.skill_end(skill), b_.skill_end(skill); }
  void energy(double time_s, const RecordedEnergy& e) override { a_.energy(time_s, e), b_.energy(time_s, e); }
  void end(const RecordingEnd& end) override { a_.end(end), b_.end(end); }

 private:
  RecordingVisitor& a_;
  RecordingVisitor& b_;
};

Result<RecordingReport> read_for(RecordingFacts& facts, const SourceInput& input) {
  SourceListener* const listener = input.options.listener;
  RecordingVisitor* const heard = listener != nullptr ? listener->recording() : nullptr;
  if (heard == nullptr) return read_recording(input.file, facts);
  BothHear both(facts, *heard);
  auto report = read_recording(input.file, both);
  listener->cut(0, report && !report->damage);
  return report;
}

class RecordingSource final : public LogSource {
 public:
  static Result<std::unique_ptr<LogSource>> open(SourceInput input);

  Result<std::optional<CapturedEpisode>> next() override { return std::exchange(episode_, std::nullopt); }
  const SourceReport& report() const noexcept override { return report_; }

 private:
  Status read(const SourceInput& input);
  static Result<Bytes> write_slice(const SourceInput& input, const CapturedEpisode& episode,
                                   const SourceDamage& damage);

  SourceReport report_;
  std::optional<CapturedEpisode> episode_;
};

// What can be read of the file, as a whole one.
Result<Bytes> RecordingSource::write_slice(const SourceInput& input, const CapturedEpisode& episode,
                                           const SourceDamage& damage) {
  mcap::MemorySink sink;
  mcap::WriterOptions options;
  options.profile = "ros2";
  options.library = "drover recorder 1 (prefix)";
  DROVER_ASSIGN(mcap::Writer writer, mcap::Writer::open(sink, options));
  const mcap::StringMap about = {{"episode_id", episode.header.episode_id},
                                 {"source_name", printable(input.name)},
                                 {"source_sha256", to_hex(input.hash)},
                                 {"reading_stopped", "byte " + std::to_string(damage.offset) + ": " + damage.what}};
  DROVER_TRY(writer.write(mcap::Metadata{"drover.prefix", about}));
  mcap::RecordReader reader(input.file);
  while (auto item = reader.next()) {
    if (const auto* schema = std::get_if<mcap::Schema>(&item->record)) DROVER_TRY(writer.add_schema(*schema));
    if (const auto* channel = std::get_if<mcap::Channel>(&item->record)) DROVER_TRY(writer.add_channel(*channel));
    if (const auto* message = std::get_if<mcap::Message>(&item->record)) DROVER_TRY(writer.write(*message));
  }
  DROVER_TRY(writer.close());
  return Bytes::copy_of(sink.content());
}

Status RecordingSource::read(const SourceInput& input) {
  RecordingFacts facts;
  DROVER_ASSIGN(const RecordingReport reading, read_for(facts, input));
  DROVER_ASSIGN(CapturedEpisode episode, facts.episode(reading));
  Episode& h = episode.header;
  h.robot = input.options.robot;
  h.episode_id = h.source_kind + "-" + to_hex(input.hash).substr(0, 12) + "-0";
  h.source_name = printable(input.name);
  h.source_hash = input.hash;
  report_.rows = reading.messages;
  report_.cells_unreadable = reading.unreadable;
  report_.episodes = 1;
  if (reading.damage) {
    report_.damage = SourceDamage{reading.damage->offset, reading.damage->what};
    h.notes.push_back("reading stopped at byte " + std::to_string(reading.damage->offset) + ": " +
                      reading.damage->what);
    DROVER_ASSIGN(episode.slice, write_slice(input, episode, *report_.damage));
  } else {
    DROVER_ASSIGN(episode.slice, input.file->read(0, static_cast<size_t>(input.file->size())));
  }
  episode.slice_name = h.episode_id + ".mcap";
  episode.slice_media_type = "application/x-mcap";
  DROVER_TRY(validate(h));
  if (input.options.first_ordinal == 0) episode_ = std::move(episode);
  return {};
}

Result<std::unique_ptr<LogSource>> RecordingSource::open(SourceInput input) {
  if (input.file->size() > input.options.slice_bytes_max)
    return fail(Errc::too_large, printable(input.name),
                std::to_string(input.file->size()) + " bytes in one recording; the bound is " +
                    std::to_string(input.options.slice_bytes_max));
  auto source = std::make_unique<RecordingSource>();
  source->report_.kind = input.mapping->kind;
  source->report_.name = input.name;
  source->report_.hash = input.hash;
  source->report_.size_bytes = input.file->size();
  DROVER_TRY(source->read(input));
  return std::unique_ptr<LogSource>(std::move(source));
}

}  // namespace

std::shared_ptr<const Mapping> recording_mapping() {
  static const auto mapping = [] {
    auto built_in = std::make_shared<Mapping>();
    built_in->file = "built in";
    built_in->kind = "drover_recording";
    built_in->description = "An episode as Drover records it; the file describes itself";
    built_in->format = LogFormat::recording;
    return std::shared_ptr<const Mapping>(std::move(built_in));
  }();
  return mapping;
}

Result<std::unique_ptr<LogSource>> open_recording(SourceInput input) {
  return RecordingSource::open(std::move(input));
}

}  // namespace drover::capture
