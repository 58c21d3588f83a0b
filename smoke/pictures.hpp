// Pictures: the report of a run, made from its course and from what the checks found. No disk, no clock.
#pragma once

#include "smoke/check.hpp"
#include "smoke/drive.hpp"
#include "smoke/inputs.hpp"
#include "smoke/report.hpp"

namespace drover::smoke {

struct ReportInput {
  const Inputs& inputs;
  const Course& course;
  const Findings& findings;
  std::vector<std::string> robots;
  std::string source;  // where the logs came from, in words
  uint64_t seed = 0;
  double wall_s = 0;
};

// What physics episodes show: their pictures moment by moment, values by condition, energy by joint and skill.
void add_world(const ReportInput& input, Report& report);

Report make_report(const ReportInput& input);

}  // namespace drover::smoke
