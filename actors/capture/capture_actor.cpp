#include "actors/capture/capture_actor.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include "actors/capture/source.hpp"
#include "actors/capture/value.hpp"
#include "actors/sync/store_messages.hpp"
#include "storage/blobs.hpp"
#include "storage/mcap/io.hpp"

namespace drover::capture {
namespace {

using runtime::log_value;
using runtime::LogLevel;
using Millis = std::chrono::milliseconds;

struct Poll {};
struct Step {};
using MarksReply = Result<sync::SourceMarks>;
using StoreReply = Result<sync::StoredCapture>;

}  // namespace
}  // namespace drover::capture

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::capture::Poll)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::capture::Step)

namespace drover::capture {
namespace {

constexpr std::string_view spool_prefix = "spool/";
constexpr std::string_view baseline_prefix = "baseline/";
constexpr std::string_view annotator_prefix = "annotator/";

FileStat stat_of(std::string name, const struct stat& facts) {
  return {std::move(name), static_cast<uint64_t>(facts.st_size),
          facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec};
}

// Regular files of a folder. Errors: io, not_found.
Result<std::vector<FileStat>> list_folder(const std::string& folder, size_t files_max) {
  std::vector<FileStat> files;
  std::error_code failed;
  std::filesystem::directory_iterator entries(folder, failed);
  if (failed) return fail(Errc::io, folder, "cannot list the spool folder: " + failed.message());
  for (const auto& entry : entries) {
    struct stat facts {};
    if (::stat(entry.path().c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) continue;
    files.push_back(stat_of(entry.path().filename().string(), facts));
    if (files.size() > 64 * files_max) break;
  }
  return files;
}

struct CaptureState;
using CaptureActor = caf::stateful_actor<CaptureState>;

// What goes to the store in one transaction.
struct Batch {
  sync::StoreCapture store;
  SpoolMark mark;
  std::map<std::string, datapack::BaselineState> baselines;
  uint64_t episodes = 0;
  uint64_t slice_bytes = 0;
  bool last = false;  // the file is finished with it
  uint64_t annotated = 0, not_annotated = 0;
};

struct CaptureState {
  const char* name = "capture";
  CaptureActor* self = nullptr;
  runtime::Environment* env = nullptr;
  CaptureConfig config;
  runtime::Ref store;
  Spool spool{{}};
  std::map<std::string, datapack::BaselineState> baselines;  // by baseline_key; as the store has them
  std::unique_ptr<LogSource> source;
  std::shared_ptr<const Mapping> mapping;  // of `source`
  std::unique_ptr<EpisodeAnnotator> annotator;
  SpoolMark mark;
  std::vector<sync::SourceMark> to_erase;  // with the next batch; one that is lost is forgotten again later
  std::optional<Batch> waiting;            // refused by the store for lack of space
  CaptureFacts facts;
  std::string folder_alarm;
  bool restored = false;
  bool busy = false;  // a request to the store is out

  std::string baseline_mark_prefix() const { return std::string(baseline_prefix) + config.folder + "\n"; }
  std::string annotator_key() const { return std::string(annotator_prefix) + config.folder + "\n"; }
  std::string mark_prefix() const { return std::string(spool_prefix) + config.folder + "\n"; }
  sync::SourceMark stored(const SpoolMark& m) const {
    return {mark_prefix() + mark_key(m), std::string(as_text(encode(m)))};
  }

  // ---- start: what the store remembers
  void restore() {
    busy = true;
    store.request(self, Millis(config.store_timeout_ms), sync::ReadMarks{""})
        .then(
            [this](MarksReply& reply) {
              busy = false;
              if (reply) take_marks(*reply);
            },
            [this](caf::error&) { busy = false; });
  }

  void take_marks(const sync::SourceMarks& marks) {
    if (config.make_annotator) annotator = config.make_annotator();
    for (const auto& m : marks.marks) {
      if (m.key.starts_with(baseline_mark_prefix())) {
        if (auto state = datapack::baseline_state_from_json(m.value))
          baselines[m.key.substr(baseline_mark_prefix().size())] = *state;
      } else if (m.key == annotator_key() && annotator) {
        if (const auto taken_up = annotator->restore(m.value); !taken_up)
          env->log(LogLevel::warn, "capture.annotator_new reason=" + log_value(taken_up.error().message()));
      } else if (m.key.starts_with(mark_prefix())) {
        if (auto decoded = decode_mark(as_bytes(m.value))) spool.restore(*decoded);
      }
    }
    restored = true;
    poll_folder();
  }

  // ---- folder
  void poll_folder() {
    auto listing = list_folder(config.folder, config.spool.files_max);
    if (!listing) {
      if (folder_alarm != listing.error().what)
        env->log(LogLevel::error, "capture.folder_unreadable folder=" + log_value(config.folder) +
                                      " reason=" + log_value(listing.error().message()));
      folder_alarm = listing.error().what;
      return;
    }
    folder_alarm.clear();
    spool.poll(std::move(*listing));
    for (const SpoolMark& settled : spool.settled()) tidy(settled);  // left by a life that ended before it could
    for (const SpoolMark& gone : spool.forget_gone()) to_erase.push_back({mark_prefix() + mark_key(gone), ""});
    ++facts.polls;
    if (!source) next_file();
  }

  // In a folder of our own: what is stored durably is deleted, what was set aside is renamed. Only the very file that
  // the mark is about.
  void tidy(const SpoolMark& settled) {
    if (!config.spool.remove_done || settled.state == MarkState::taking) return;
    const std::string path = config.folder + "/" + settled.file.name;
    struct stat now {};
    if (::lstat(path.c_str(), &now) != 0 || !(stat_of(settled.file.name, now) == settled.file)) return;
    const bool done = settled.state == MarkState::done;
    const std::string aside = path + std::string(set_aside_suffix);
    const int failed = done ? ::unlink(path.c_str()) : ::rename(path.c_str(), aside.c_str());
    if (failed != 0) {
      env->log(LogLevel::warn, "capture.file_not_removed file=" + log_value(settled.file.name) +
                                   " reason=" + log_value(std::strerror(errno)));
    } else if (done) {
      ++facts.files_removed;
    }
  }

  void next_file() {
    const auto file = spool.next();
    facts.file.clear();
    facts.idle = !file.has_value();
    if (!file) return;
    const std::string path = config.folder + "/" + file->name;
    auto opened = mcap::file_source(path);
    if (!opened) return fail_file(SpoolMark{*file, {}, MarkState::taking, 0, 0, {}}, opened.error());
    if ((*opened)->size() != file->size_bytes) return;  // it grew since it was listed: the next look decides
    auto hash = hash_source(**opened);
    if (!hash) return fail_file(SpoolMark{*file, {}, MarkState::taking, 0, 0, {}}, hash.error());
    std::optional<Hash> prefix;
    if (const auto front_bytes = spool.grown_from(*file)) prefix = hash_front(**opened, *front_bytes);
    const Spool::Start start = spool.start(*file, *hash, prefix);
    if (!start.take) return settle(start.mark);
    open_source(start.mark, *hash, std::shared_ptr<const ByteSource>(std::move(*opened)));
  }

  static std::optional<Hash> hash_front(const ByteSource& file, uint64_t bytes) {
    constexpr uint64_t piece_bytes = 1u << 20;
    Sha256 digest;
    for (uint64_t at = 0; at < bytes; at += piece_bytes) {
      const auto piece = file.read(at, static_cast<size_t>(std::min(piece_bytes, bytes - at)));
      if (!piece) return std::nullopt;
      digest.update(*piece);
    }
    return digest.finish();
  }

  void open_source(const SpoolMark& start, const Hash& hash, std::shared_ptr<const ByteSource> file) {
    Result<std::shared_ptr<const Mapping>> picked = pick_mapping(start.file.name, file);
    if (!picked) return settle(Spool::rejected(start, picked.error().message()));
    CaptureOptions options;
    options.robot = config.robot;
    options.first_ordinal = start.next_ordinal;
    options.listener = annotator ? annotator->listener() : nullptr;
    auto opened = open_log(start.file.name, std::move(file), hash, *picked, options);
    if (!opened) return settle(Spool::rejected(start, opened.error().message()));
    mapping = *picked;
    mark = start;
    facts.file = start.file.name;
    env->log(LogLevel::info, "capture.file_begin file=" + log_value(start.file.name) + " kind=" + mapping->kind +
                                 " ordinal=" + std::to_string(start.next_ordinal));
    source = std::move(*opened);
    // The attempt is on record before the first byte is parsed, so that a file that kills the daemon is counted.
    request_store({{{}, {}, {stored(mark)}}, mark, {}, 0, 0, false});
  }

  Result<std::shared_ptr<const Mapping>> pick_mapping(const std::string& name,
                                                      const std::shared_ptr<const ByteSource>& file) const {
    if (config.mapping == "auto") return choose_mapping(name, file, config.mappings);
    std::vector<std::shared_ptr<const Mapping>> only;
    for (const auto& m : config.mappings)
      if (m->kind == config.mapping) only.push_back(m);
    if (only.empty()) return fail(Errc::not_found, name, "there is no mapping of kind '" + config.mapping + "'");
    return choose_mapping(name, file, only);
  }

  // A file that is done with, without episodes: its mark says why.
  void settle(const SpoolMark& settled) {
    const char* what = settled.state == MarkState::duplicate ? "capture.file_duplicate" : "capture.file_set_aside";
    env->log(settled.state == MarkState::duplicate ? LogLevel::info : LogLevel::warn,
             std::string(what) + " file=" + log_value(settled.file.name) + " reason=" + log_value(settled.detail));
    sync::StoreCapture store_mark{{}, {}, {stored(settled)}};
    if (settled.state == MarkState::quarantined)
      store_mark.records.push_back(event_record("source_set_aside", settled.file.name, settled.detail));
    request_store({std::move(store_mark), settled, {}, 0, 0, true});
  }

  sync::NewRecord event_record(const std::string& kind, const std::string& subject, const std::string& detail) const {
    const Event event{env->unix_ns(), kind, "warning", subject, detail};
    return {RecordKind::event, event.time_unix_ns, encode(event)};
  }

  void fail_file(const SpoolMark& m, const Error& error) { settle(spool.failed(m, error.message())); }

  // ---- episodes
  void step() {
    if (busy || !restored) return;
    if (waiting) return request_store(std::move(*std::exchange(waiting, std::nullopt)));
    if (!source) return next_file();
    Batch batch;
    batch.mark = mark;
    while (batch.slice_bytes < config.batch_bytes && batch.episodes < config.batch_episodes) {
      auto episode = source->next();
      if (!episode) return end_source(episode.error());
      if (!*episode) {
        batch.last = true;
        break;
      }
      add_episode(batch, **episode);
    }
    if (batch.last) batch.mark = end_mark(batch.mark);
    batch.store.marks.push_back(stored(batch.mark));
    if (auto state = annotator ? annotator->state() : std::nullopt)
      batch.store.marks.push_back({annotator_key(), std::move(*state)});
    for (auto& mark_gone : std::exchange(to_erase, {})) batch.store.marks.push_back(std::move(mark_gone));
    if (batch.mark.state == MarkState::quarantined) {
      env->log(LogLevel::warn,
               "capture.file_set_aside file=" + log_value(mark.file.name) + " reason=" + log_value(batch.mark.detail));
      batch.store.records.push_back(event_record("source_set_aside", mark.file.name, batch.mark.detail));
    } else if (batch.last && source->report().damage) {
      note_damage(batch);
    }
    request_store(std::move(batch));
  }

  // A damaged file that gave nothing at all is not done: it is set aside, with the damage as the reason.
  SpoolMark end_mark(const SpoolMark& last) const {
    const SourceReport& report = source->report();
    if (!report.damage || report.episodes > 0) return Spool::finished(last);
    return Spool::rejected(last, "nothing of it can be read: " + report.damage->what);
  }

  void note_damage(Batch& batch) const {
    const SourceDamage& damage = *source->report().damage;
    batch.store.records.push_back(
        event_record("source_damaged", mark.file.name, damage.what + " at byte " + std::to_string(damage.offset)));
  }

  void end_source(const Error& error) {
    source.reset();
    fail_file(mark, error);
  }

  void add_episode(Batch& batch, const CapturedEpisode& captured) {
    const std::string key = datapack::baseline_key(captured.header.task_name, captured.header.source_kind);
    const auto known = batch.baselines.find(key) != batch.baselines.end() ? batch.baselines.at(key) : baselines[key];
    const datapack::Baseline baseline{config.baselines.find(captured.header.task_name, captured.header.source_kind),
                                      known};
    const BlobRef blob = storage::describe_blob(captured.slice_name, captured.slice_media_type, captured.slice);
    auto valued = value_episode(captured, {blob}, baseline, config.preset, config.gates.get());
    ++batch.episodes;
    batch.mark = Spool::advanced(batch.mark, captured.ordinal + 1);
    if (!valued) {
      env->log(LogLevel::error, "capture.episode_not_valued episode=" + captured.header.episode_id +
                                    " reason=" + log_value(valued.error().message()));
      batch.store.records.push_back(
          event_record("episode_not_valued", captured.header.episode_id, valued.error().message()));
      return;
    }
    batch.baselines[key] = valued->next_baseline;
    batch.slice_bytes += captured.slice.size();
    const int64_t time_unix_ns = valued->episode.end_unix_ns;
    for (size_t i = 0; i < blob.chunks.size(); ++i)
      batch.store.chunks.push_back({blob.chunks[i].hash, chunk_bytes(captured.slice, i), valued->episode.value_per_byte,
                                    valued->episode.episode_id});
    batch.store.records.push_back({RecordKind::episode, time_unix_ns, encode(valued->episode)});
    annotate(batch, captured, valued->pack, time_unix_ns);
    batch.store.records.push_back({RecordKind::datapack, time_unix_ns, encode(valued->pack)});
    batch.store.marks.push_back({baseline_mark_prefix() + key, datapack::to_json(valued->next_baseline)});
  }

  void annotate(Batch& batch, const CapturedEpisode& captured, const Datapack& pack, int64_t time_unix_ns) {
    if (!annotator) return;
    auto said = annotator->annotate(captured, *mapping, pack);
    if (!said) {
      ++batch.not_annotated;
      env->log(LogLevel::debug, "capture.episode_not_annotated episode=" + captured.header.episode_id +
                                    " reason=" + log_value(said.error().message()));
      return;
    }
    if (said->record) {
      ++batch.annotated;
      batch.store.records.push_back({RecordKind::enrichment, time_unix_ns, encode(*said->record)});
    }
  }

  // Shares the slice's bytes.
  static Bytes chunk_bytes(const Bytes& slice, size_t index) {
    const ByteView view = storage::chunk_of(slice, index);
    return slice.slice(static_cast<size_t>(view.data() - slice.data()), view.size());
  }

  // ---- store
  void request_store(Batch batch) {
    busy = true;
    auto shared = std::make_shared<Batch>(std::move(batch));
    store.request(self, Millis(config.store_timeout_ms), shared->store)
        .then([this, shared](StoreReply& reply) { store_answered(*shared, reply); },
              [this, shared](caf::error&) {
                // Whether it was stored is not known: start again from what the store says.
                begin_again("the store did not answer");
              });
  }

  void store_answered(Batch& batch, StoreReply& reply) {
    busy = false;
    if (!reply) {
      refused(batch, reply.error());
      return;
    }
    if (facts.stopped) env->log(LogLevel::info, "capture.resumed folder=" + log_value(config.folder));
    facts.stopped = false;
    facts.alarm.clear();
    spool.commit(batch.mark);
    mark = batch.mark;
    for (auto& [key, state] : batch.baselines) baselines[key] = state;
    facts.episodes += batch.episodes;
    facts.slice_bytes += batch.slice_bytes;
    facts.annotated += batch.annotated;
    facts.not_annotated += batch.not_annotated;
    if (batch.last) finish_file(batch.mark);
    self->send(self, Step{});
  }

  void finish_file(const SpoolMark& done) {
    if (source) {
      const SourceReport& report = source->report();
      facts.rows += report.rows;
      env->log(LogLevel::info, "capture.file_done file=" + log_value(done.file.name) + " kind=" + report.kind +
                                   " rows=" + std::to_string(report.rows) +
                                   " episodes=" + std::to_string(report.episodes));
      if (report.damage)
        env->log(LogLevel::warn, "capture.file_damaged file=" + log_value(done.file.name) +
                                     " byte=" + std::to_string(report.damage->offset) +
                                     " reason=" + log_value(report.damage->what));
    }
    source.reset();
    if (done.state == MarkState::done) ++facts.files_done;
    if (done.state == MarkState::duplicate) ++facts.files_duplicate;
    if (done.state == MarkState::quarantined) ++facts.files_quarantined;
    tidy(done);
  }

  void refused(Batch& batch, const Error& error) {
    if (error.code != Errc::disk_full) return begin_again(error.message());
    if (!facts.stopped)
      env->log(LogLevel::error,
               "capture.stopped folder=" + log_value(config.folder) + " reason=" + log_value(error.message()));
    facts.stopped = true;
    facts.alarm = error.message();
    waiting = std::move(batch);
    self->delayed_send(self, Millis(config.retry_ms), Step{});
  }

  void begin_again(const std::string& why) {
    env->log(LogLevel::error, "capture.store_refused reason=" + log_value(why));
    self->quit(caf::make_error(caf::sec::runtime_error, why));  // the supervisor restarts it from the store's marks
  }

  void poll() {
    self->delayed_send(self, Millis(config.poll_ms), Poll{});
    if (!restored) {
      if (!busy) restore();
      return;
    }
    poll_folder_if_quiet();
  }

  void poll_folder_if_quiet() {
    if (busy || waiting) return;
    poll_folder();
  }
};

caf::behavior capture_actor(CaptureActor* self, runtime::Environment* env, CaptureConfig config, runtime::Ref store) {
  CaptureState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = std::move(config);
  s.store = std::move(store);
  s.spool = Spool(s.config.spool);
  s.facts.folder = s.config.folder;
  self->send(self, Poll{});
  return {
      [&s](const Poll&) { s.poll(); },
      [&s](const Step&) { s.step(); },
      [&s](const AskCapture&) {
        CaptureFacts facts = s.facts;
        facts.idle = facts.idle && !s.source && !s.busy && !s.waiting && s.spool.waiting_count() == 0;
        if (facts.alarm.empty()) facts.alarm = s.folder_alarm;
        return facts;
      },
  };
}

}  // namespace

caf::actor spawn_capture(runtime::Environment& env, CaptureConfig config, runtime::Ref store) {
  return env.spawn_blocking(capture_actor, &env, std::move(config), std::move(store));
}

}  // namespace drover::capture
