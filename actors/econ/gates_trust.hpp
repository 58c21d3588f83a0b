// The trust net: how far a record that is no real data can be believed to be physically possible, 0..1.
//
// For each (task, engine) that the file knows there is a small network over figures that follow from a datapack alone:
// durations, powers, the energy of joints and skills, the outcome claimed and the events that must go with it. It was
// trained to tell episodes of physics from copies in which something does not fit (configs/gates/REPORT.md). A record
// with a figure outside of anything the net has seen is not judged: its trust is 0, as is that of a task without a net.
// Real data of a real deployment has trust 1 by rule.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::gates {

struct Judgement {
  double trust = 0;     // [0, 1], in steps of 1e-6
  bool passed = false;  // real data, or trust >= threshold
  std::string why;      // "real" | "net" | "no_net" | "outside:FIGURE" (that the net never saw)
};

// One net. Layers hold a bias as their last number.
struct TaskNet {
  std::string task_name;
  std::string engine_type;
  std::vector<int64_t> skills;      // whose durations, powers and uses are figures
  std::vector<std::string> joints;  // whose share of the energy is a figure
  std::vector<double> low, high;    // figures outside are not judged
  std::vector<double> mean, scale;  // standardise: clamp((x - mean) / scale, -8, 8)
  std::vector<std::vector<double>> hidden;
  std::vector<double> output;
  std::vector<double> logits, scores;  // calibration: linear between rising logits, flat outside; scores never fall
};

// The figures of a pack for a net, and their names; equal sizes. Every figure is finite or makes the pack outside.
std::vector<double> figures(const Datapack& pack, const TaskNet& net);
std::vector<std::string> figure_names(const TaskNet& net);

class TrustNet {
 public:
  Judgement judge(const Datapack& pack) const;
  double threshold() const { return threshold_; }
  const std::vector<TaskNet>& nets() const { return nets_; }
  // The net for a pack; null: there is none.
  const TaskNet* find(const Datapack& pack) const;

  // Errors: invalid_argument (every problem), unsupported_version. A threshold below 0.9 is refused.
  static Result<TrustNet> parse(std::string_view toml_text, const std::string& file);

 private:
  double threshold_ = 0.9;
  std::vector<TaskNet> nets_;
};

// Real data of a real deployment: believed by rule.
bool is_real(const Datapack& pack) noexcept;

}  // namespace drover::gates
