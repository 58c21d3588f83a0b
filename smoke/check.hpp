// Check: the promises of a run, looked for in what lies on disk after everything was stopped.
//
// What the stores hold is compared with an account that the runtime had no part in (inputs.hpp) and with itself: every
// hash, count, order and statistic is computed again. A promise that could not be checked counts as broken.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "smoke/bodies.hpp"
#include "smoke/drive.hpp"
#include "smoke/inputs.hpp"
#include "smoke/recordings.hpp"
#include "smoke/report.hpp"

namespace drover::smoke {

struct CheckInput {
  const Inputs& inputs;
  const std::vector<BodyPlan>& bodies;
  const Result<std::vector<ExpectedRun>>& runs;  // what their episodes come to
  const Course& course;
  std::vector<std::string> robots;
  std::vector<std::string> robot_stores;  // folders
  std::string central_store;
  uint64_t error_lines = 0;
  std::string first_error;
  bool drained = false;
  std::string trouble;     // why the run did not end as it should; empty: it did
  std::string vocabulary;  // file
};

struct TaskFigures {
  uint64_t packs = 0;
  uint64_t positive = 0;
  uint64_t negative = 0;
  double total_Wh = 0;
  double hours = 0;
  std::vector<double> delta_J;
};

// What the pictures and tables are made of; filled from the stores.
struct Findings {
  std::vector<Check> checks;
  std::map<std::string, TaskFigures> tasks;
  std::map<std::string, double> joint_Wh;
  std::map<std::string, double> skill_Wh;
  std::map<std::string, std::map<std::string, uint64_t>> events;  // kind -> robot -> count
  std::map<std::string, uint64_t> outcomes;
  std::vector<uint64_t> records;      // per robot, in its journal
  std::vector<uint64_t> episodes;     // per robot, at the centre
  std::vector<uint64_t> slice_bytes;  // per robot, raw bytes of its episodes
  uint64_t journal_bytes = 0;         // of all robots' journals
  uint64_t inbox_bytes = 0;
  uint64_t pack_bytes = 0;
  uint64_t chunk_bytes = 0;         // held at the centre
  uint64_t segments = 0;            // that robots found in their episodes, at the centre
  uint64_t world_explained = 0;     // physics episodes that did not arrive, with an event that says why
  std::vector<WorldEpisode> world;  // physics episodes at the centre, by robot and seed
};

// Never fails: trouble with reading a store is a broken promise.
Findings check(const CheckInput& input);

// For tests of the checks themselves: erases one applied datapack from a stopped central store, as a lost write would.
Status drop_one_pack(const std::string& central_store);

}  // namespace drover::smoke
