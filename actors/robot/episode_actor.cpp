#include "actors/robot/episode_actor.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "actors/capture/spool.hpp"
#include "actors/runtime/rng.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::robot {
namespace {

using runtime::log_value;
using runtime::LogLevel;
using Millis = std::chrono::milliseconds;
using MarksReply = Result<sync::SourceMarks>;
using StoreReply = Result<sync::StoredCapture>;

struct Next {};  // look whether an episode may begin
struct Step {};  // a few control steps

}  // namespace
}  // namespace drover::robot

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::robot::Next)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::robot::Step)

namespace drover::robot {
namespace {

constexpr std::string_view mark_prefix = "world/";

// What the store remembers: the episode that was begun last.
struct Begun {
  uint64_t ordinal = 0;
  std::string name;  // of its recording, without suffix
};

std::string encode(const Begun& begun) {
  return nlohmann::json{{"ordinal", begun.ordinal}, {"name", begun.name}}.dump();
}

std::optional<Begun> decode_begun(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("ordinal") || !json["ordinal"].is_number_unsigned()) return std::nullopt;
  if (!json.contains("name") || !json["name"].is_string()) return std::nullopt;
  return Begun{json["ordinal"].get<uint64_t>(), json["name"].get<std::string>()};
}

// How many files of the folder end like this, counted up to `enough`.
Result<size_t> count_files(const std::string& folder, std::string_view extension, size_t enough) {
  std::error_code failed;
  std::filesystem::directory_iterator entries(folder, failed);
  if (failed) return fail(Errc::io, folder, "cannot list the recordings: " + failed.message());
  size_t count = 0;
  for (const auto& entry : entries)
    if (entry.path().extension() == extension && ++count == enough) break;
  return count;
}

uint64_t free_bytes(const std::string& folder) {
  struct statvfs facts {};
  if (::statvfs(folder.c_str(), &facts) != 0) return 0;
  return static_cast<uint64_t>(facts.f_bavail) * facts.f_frsize;
}

runtime::Counter& recorded_counter(runtime::Metrics& metrics) {
  return metrics.counter("drover_robot_episodes_total", "Episodes recorded in a simulated world");
}

bool is_capture_of(const sync::SourceMark& stored, const std::string& file) {
  const auto mark = capture::decode_mark(as_bytes(stored.value));
  return mark && mark->file.name == file;
}

struct EpisodesState;
using EpisodesActor = caf::stateful_actor<EpisodesState>;

struct EpisodesState {
  const char* name = "episodes";
  EpisodesActor* self = nullptr;
  runtime::Environment* env = nullptr;
  EpisodeActorConfig config;
  runtime::Ref store;
  Body body;
  std::unique_ptr<RecordedEpisode> episode;
  EpisodesFacts facts;
  uint64_t ordinal = 0;  // of `episode`
  runtime::Counter* recorded_total = nullptr;
  runtime::Counter* voided_total = nullptr;

  const std::string& folder() const { return config.recording.folder; }
  std::string mark_key() const { return std::string(mark_prefix) + folder(); }

  // ---- start: what the store remembers

  void restore() {
    store.request(self, Millis(config.store_timeout_ms), sync::ReadMarks{mark_key()})
        .then(
            [this](MarksReply& reply) {
              if (!reply) return later(reply.error().message(), [this] { restore(); });
              std::optional<Begun> begun;
              for (const auto& mark : reply->marks)
                if (mark.key == mark_key()) begun = decode_begun(mark.value);
              take_up(begun);
            },
            [this](caf::error&) { later("the store does not answer", [this] { restore(); }); });
  }

  void take_up(const std::optional<Begun>& begun) {
    if (!begun) return next();
    facts.next_ordinal = begun->ordinal + 1;
    std::error_code ignored;
    const std::string path = folder() + "/" + begun->name;
    for (const std::string_view suffix : {capture::recording_suffix, capture::recording_part_suffix})
      if (std::filesystem::exists(path + std::string(suffix), ignored)) return next();
    look_for_capture(*begun);
  }

  // Part files of an earlier life get their names. False: one still has its writer, which is just ending.
  bool adopt() {
    const auto adopted = capture::adopt_recordings(folder());
    if (!adopted) {
      env->log(LogLevel::error, "robot.recordings_unreadable reason=" + log_value(adopted.error().message()));
      return true;
    }
    for (const std::string& file : *adopted)
      env->log(LogLevel::warn, "robot.recording_adopted file=" + log_value(file));
    facts.adopted += adopted->size();
    return count_files(folder(), ".part", 1).value_or(0) == 0;
  }

  // The episode that was begun last has no recording here: it was captured, or nothing of it reached the disk.
  void look_for_capture(const Begun& begun) {
    store.request(self, Millis(config.store_timeout_ms), sync::ReadMarks{"spool/" + folder() + "\n"})
        .then(
            [this, begun](MarksReply& reply) {
              if (!reply) return later(reply.error().message(), [this, begun] { look_for_capture(begun); });
              const std::string file = begun.name + std::string(capture::recording_suffix);
              for (const auto& mark : reply->marks)
                if (is_capture_of(mark, file)) return next();
              tell_lost(begun);
            },
            [this, begun](caf::error&) {
              later("the store does not answer", [this, begun] { look_for_capture(begun); });
            });
  }

  void tell_lost(const Begun& begun) {
    ++facts.lost;
    env->log(LogLevel::warn, "robot.recording_lost ordinal=" + std::to_string(begun.ordinal) +
                                 " recording=" + log_value(begun.name) + " reason=nothing_on_disk");
    journal("recording_lost", begun.name, "the process ended before anything of the episode was on disk",
            [this] { next(); });
  }

  // ---- between episodes

  void next() {
    if (episode) return;
    if (!adopt()) return later("an earlier recording still has its writer", [this] { next(); });
    facts.done = config.episodes > 0 && facts.next_ordinal >= config.episodes;
    facts.waiting_for.clear();
    if (facts.done) {
      env->log(LogLevel::info, "robot.episodes_done episodes=" + std::to_string(facts.next_ordinal));
      return;
    }
    if (const std::string reason = hold_up(); !reason.empty()) return later(reason, [this] { next(); });
    begin_episode();
  }

  // Why no episode may begin; empty: one may.
  std::string hold_up() const {
    const auto waiting = count_files(folder(), capture::recording_suffix, config.waiting_max);
    if (!waiting) return waiting.error().message();
    if (*waiting >= config.waiting_max) return "recordings wait to be captured";
    if (config.free_reserve_bytes > 0 && free_bytes(folder()) < config.free_reserve_bytes)
      return "the disk has no room";
    return "";
  }

  void later(const std::string& reason, std::function<void()> what) { later(reason, std::move(what), config.retry_ms); }

  void later(const std::string& reason, std::function<void()> what, uint64_t pause_ms) {
    if (facts.waiting_for != reason) env->log(LogLevel::debug, "robot.episodes_wait reason=" + log_value(reason));
    facts.waiting_for = reason;
    pending = std::move(what);
    self->delayed_send(self, Millis(pause_ms), Next{});
  }
  std::function<void()> pending;  // what Next does; empty: next()

  void on_next() {
    if (pending) return std::exchange(pending, nullptr)();
    next();
  }

  void journal(const std::string& kind, const std::string& subject, const std::string& detail,
               std::function<void()> then) {
    const Event event{env->unix_ns(), kind, "warning", subject, detail};
    put({{{RecordKind::event, event.time_unix_ns, drover::encode(event)}}, {}, {}}, std::move(then));
  }

  // Stores, again and again while the disk is full; `then` follows the synced commit.
  void put(sync::StoreCapture what, std::function<void()> then) {
    store.request(self, Millis(config.store_timeout_ms), what)
        .then(
            [this, what, then](StoreReply& reply) {
              if (reply) return then();
              later(reply.error().message(), [this, what, then] { put(what, then); });
            },
            [this, what, then](caf::error&) {
              later("the store does not answer", [this, what, then] { put(what, then); });
            });
  }

  // ---- an episode

  void begin_episode() {
    ordinal = facts.next_ordinal;
    RecordedRequest request;
    request.seed = config.seed + ordinal;
    request.condition_set = condition_set_of(config.set, body.sets, request.seed);
    request.start_unix_ns = env->unix_ns();
    request.name = fmt::format("{:08}-{}-{}-{}-{}", ordinal, body.world->info().name, request.condition_set,
                               request.seed, request.start_unix_ns / 1'000'000);
    const Begun begun{ordinal, request.name};
    put({{}, {}, {{mark_key(), encode(begun)}}}, [this, request] { record(request); });
  }

  void record(const RecordedRequest& request) {
    facts.next_ordinal = ordinal + 1;
    facts.waiting_for.clear();
    auto started = RecordedEpisode::begin(*body.world, *body.policy, config.recording, request);
    if (!started) return end_void(request.name, started.error());
    episode = std::move(*started);
    if (!episode->facts().no_pictures.empty() && facts.no_pictures != episode->facts().no_pictures)
      env->log(LogLevel::warn, "robot.no_pictures reason=" + log_value(episode->facts().no_pictures));
    facts.no_pictures = episode->facts().no_pictures;
    facts.running = true;
    self->send(self, Step{});
  }

  void step() {
    if (!episode) return;
    for (uint32_t i = 0; i < config.steps_per_message; ++i) {
      const auto more = episode->step();
      if (!more) return end_void(episode->request().name, more.error());
      if (!*more) return end_episode();
    }
    facts.running_s = body.world->observe().time_s;
    self->send(self, Step{});
  }

  void end_episode() {
    const auto result = episode->finish();
    if (!result) return end_void(episode->request().name, result.error());
    const RecordingFacts& recording = episode->facts();
    const RecordedRequest& request = episode->request();
    env->log(LogLevel::info,
             fmt::format("robot.episode_recorded ordinal={} seed={} set={} template={} duration_s={:.2f} work_J={:.2f} "
                         "frames={} bytes={} hash={:016x}",
                         ordinal, request.seed, request.condition_set, template_name(result->kind), result->duration_s,
                         result->energy.total().mechanical, recording.frames, recording.bytes, result->hash));
    voids_in_row = 0;
    ++facts.recorded;
    recorded_total->add();
    ++facts.templates[std::string(template_name(result->kind))];
    facts.frames += recording.frames;
    facts.bytes += recording.bytes;
    clear();
    pause();
  }

  // Full disks and broken folders are waited for; physics that diverged voids this episode only.
  // The name by value: it is often the episode's own, which ends here.
  void end_void(std::string recording, const Error& error) {
    if (episode) static_cast<void>(episode->discard());  // a part file that cannot be removed is adopted as a prefix
    clear();
    ++facts.voided;
    voided_total->add();
    env->log(LogLevel::warn, "robot.episode_void ordinal=" + std::to_string(ordinal) +
                                 " recording=" + log_value(recording) + " reason=" + log_value(error.message()));
    journal("episode_void", recording, error.message(), [this, error] {
      later(
          error.message(), [this] { next(); }, void_pause_ms());
    });
  }

  // Longer and longer while nothing else comes of it, so that a broken world does not fill the journal.
  uint64_t void_pause_ms() {
    const uint64_t pause_ms = config.retry_ms << std::min<uint32_t>(voids_in_row, 16);
    ++voids_in_row;
    return std::min(pause_ms, config.void_pause_ms_max);
  }
  uint32_t voids_in_row = 0;

  void clear() {
    episode.reset();
    facts.running = false;
    facts.running_s = 0;
  }

  void pause() {
    if (config.pause_ms == 0) return next();
    self->delayed_send(self, Millis(config.pause_ms), Next{});
  }

  // A polite stop.
  void stop() {
    if (!episode) return;
    const auto cut = episode->interrupt("the node was stopped");
    env->log(LogLevel::info, "robot.episode_interrupted ordinal=" + std::to_string(ordinal) +
                                 " recording=" + log_value(episode->request().name) +
                                 (cut ? "" : " reason=" + log_value(cut.error().message())));
    clear();
  }
};

caf::behavior episodes_actor(EpisodesActor* self, runtime::Environment* env, EpisodeActorConfig config,
                             runtime::Ref store) {
  EpisodesState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = std::move(config);
  s.store = std::move(store);
  auto body = s.config.make_body();
  if (!body) {
    env->log(LogLevel::error, "robot.no_world reason=" + log_value(body.error().message()));
    self->quit(caf::make_error(caf::sec::runtime_error, body.error().message()));
    return {};
  }
  s.body = std::move(*body);
  s.recorded_total = &recorded_counter(env->metrics());
  s.voided_total = &env->metrics().counter("drover_robot_episodes_void_total", "Episodes that came to nothing");
  self->set_exit_handler([self, &s](caf::exit_msg& message) {
    if (message.reason == caf::exit_reason::user_shutdown) s.stop();
    self->quit(message.reason);
  });
  env->log(LogLevel::info, "robot.world world=" + s.body.world->info().name + " set=" + s.config.set +
                               " seed=" + std::to_string(s.config.seed) + " recordings=" + log_value(s.folder()));
  s.restore();
  return {
      [&s](const Next&) { s.on_next(); },
      [&s](const Step&) { s.step(); },
      [&s](const AskEpisodes&) { return s.facts; },
  };
}

}  // namespace

std::string condition_set_of(const std::string& set, const std::vector<std::string>& sets, uint64_t seed) {
  if (set != "mix" || sets.empty()) return set;
  return sets[runtime::Rng::stream(seed, "condition_set").below(sets.size())];
}

uint64_t episodes_recorded(runtime::Metrics& metrics) {
  return recorded_counter(metrics).value();
}

caf::actor spawn_episodes(runtime::Environment& env, EpisodeActorConfig config, runtime::Ref store) {
  return env.spawn_blocking(episodes_actor, &env, std::move(config), std::move(store));
}

}  // namespace drover::robot
