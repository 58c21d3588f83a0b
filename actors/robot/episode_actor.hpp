// The episode actor: the robot's simulated body. Runs episodes in a world, one after another, and leaves a recording of
// each in a folder that a capture actor watches.
//
// In:    AskEpisodes (reply: EpisodesFacts). Everything else it does by itself.
// Out:   ReadMarks, StoreCapture to the store.
// Rules: every episode has an ordinal; its seed is `seed` + ordinal. That it begins is on record in the store (a mark,
//        synced) before its first step, so that after a crash each episode that was begun is accounted for: its
//        recording waits or was captured, it is a part file and becomes a labelled prefix, or it is journaled as lost
//        (event recording_lost) because nothing of it had reached the disk.
//        An episode whose physics diverged is void: journaled (event episode_void), its recording removed, and
//        the next one waits the longer the more were void in a row.
//        Backpressure: no episode begins while waiting_max recordings wait in the folder or the disk is short.
//        One message runs a few control steps only, so questions and a stop wait some milliseconds. A polite stop in
//        the middle of an episode leaves a labelled prefix.
// Supervision: permanent; blocking (physics, drawing, files). Comes after the capture actor of its folder.
#pragma once

#include <caf/actor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/robot/recorded_episode.hpp"
#include "actors/runtime/environment.hpp"
#include "actors/runtime/packet_message.hpp"

namespace drover::robot {

struct Body {
  std::unique_ptr<World> world;
  std::unique_ptr<Policy> policy;
  std::vector<std::string> sets;  // of conditions; what `mix` draws from
};

struct EpisodeActorConfig {
  RecordingOptions recording;
  std::string set = "nominal";          // of conditions, or mix: one of the body's for each episode, drawn by its seed
  uint64_t seed = 0;                    // of ordinal 0
  uint64_t episodes = 0;                // in all, over restarts; 0: without end
  uint64_t pause_ms = 0;                // between episodes
  uint32_t waiting_max = 4;             // recordings in the folder
  uint64_t free_reserve_bytes = 0;      // of the folder's file system, left alone
  uint64_t retry_ms = 100;              // pause before it looks again when it has to wait
  uint64_t void_pause_ms_max = 60'000;  // after void episodes in a row the pause doubles from retry_ms to this
  uint64_t store_timeout_ms = 60'000;
  uint32_t steps_per_message = 4;  // control steps
  std::function<Result<Body>()> make_body;
};

struct AskEpisodes {};
struct EpisodesFacts {
  uint64_t next_ordinal = 0;  // of the episode that begins next
  bool running = false;
  double running_s = 0;     // how far the running episode is, in its own time
  bool done = false;        // all that were asked for have ended
  std::string waiting_for;  // why no episode begins; empty: nothing holds it up
  std::string no_pictures;  // why recordings have none; empty: they have, or none are asked for
  // Since the actor started.
  uint64_t recorded = 0;
  uint64_t frames = 0;
  uint64_t bytes = 0;
  uint64_t voided = 0;
  uint64_t lost = 0;
  uint64_t adopted = 0;  // part files of an earlier life
  std::map<std::string, uint64_t> templates;
};

// The set that an episode of this seed uses: `set` itself, or for mix one of `sets`.
std::string condition_set_of(const std::string& set, const std::vector<std::string>& sets, uint64_t seed);

// Of all lives of the actor in this process, from the node's metrics.
uint64_t episodes_recorded(runtime::Metrics& metrics);

caf::actor spawn_episodes(runtime::Environment& env, EpisodeActorConfig config, runtime::Ref store);

}  // namespace drover::robot

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::robot::AskEpisodes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::robot::EpisodesFacts)
