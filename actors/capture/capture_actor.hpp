// The capture actor: watches one spool folder, turns log files into episodes and datapacks, and hands them to the
// store together with the mark that says how far it got, in one transaction.
//
// In:    AskCapture (reply: CaptureFacts). Everything else it does by itself, by its own clock.
// Out:   ReadMarks, StoreCapture to the store.
// Rules: which file and from which episode on is Spool's decision; what an episode is worth is value_episode's; what is
//        to be said of it beside that is the annotator's, and its record goes right before the datapack. At most one
//        batch (batch_bytes of raw slices) is in memory. When the store says disk_full nothing is dropped: the batch
//        waits and is offered again every retry_ms, and the alarm is raised until it goes through. Baselines are kept
//        per folder, so that folders captured side by side cannot disturb each other's values.
// Supervision: permanent; blocking (reads files). After a restart it continues at the first episode that is not stored.
#pragma once

#include <caf/actor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "actors/capture/annotator.hpp"
#include "actors/capture/mapping.hpp"
#include "actors/capture/spool.hpp"
#include "actors/datapack/baseline.hpp"
#include "actors/econ/gates.hpp"
#include "actors/econ/preset.hpp"
#include "actors/runtime/environment.hpp"
#include "actors/runtime/packet_message.hpp"

namespace drover::capture {

struct CaptureConfig {
  std::string robot;    // node id
  std::string folder;   // watched
  std::string mapping;  // kind of a mapping, or "auto"
  SpoolConfig spool;
  uint64_t poll_ms = 1000;
  uint64_t retry_ms = 1000;         // pause after the store refused a batch
  uint64_t batch_bytes = 4u << 20;  // raw bytes per transaction; at least one episode
  uint32_t batch_episodes = 256;    // episodes per transaction
  uint64_t store_timeout_ms = 60'000;
  std::vector<std::shared_ptr<const Mapping>> mappings;
  datapack::BaselineRules baselines;
  econ::EconPreset preset;
  std::shared_ptr<const gates::Gates> gates;  // null: records keep the builder's weights (no gate has weighed them)
  MakeAnnotator make_annotator;               // empty: none
};

struct AskCapture {};
struct CaptureFacts {
  std::string folder;
  bool idle = false;     // nothing is being captured and nothing waits
  bool stopped = false;  // the store takes nothing; see alarm
  std::string alarm;
  std::string file;  // being captured; empty: none
  uint64_t polls = 0;
  uint64_t files_done = 0;
  uint64_t files_duplicate = 0;
  uint64_t files_quarantined = 0;
  uint64_t files_removed = 0;  // done, in a folder of our own
  uint64_t episodes = 0;       // stored since the actor started
  uint64_t rows = 0;
  uint64_t slice_bytes = 0;
  uint64_t annotated = 0;      // episodes that have a record of the annotator
  uint64_t not_annotated = 0;  // episodes of which it could not be made
};

caf::actor spawn_capture(runtime::Environment& env, CaptureConfig config, runtime::Ref store);

}  // namespace drover::capture

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::capture::AskCapture)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::capture::CaptureFacts)
