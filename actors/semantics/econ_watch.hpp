// EconWatch: how urgent errors, energy and output are, as far as the outcomes of episodes show. The economy advises
// semantics; nothing goes the other way. Pure; one writer.
//
// Episodes are taken in blocks. A full block is compared with what is wanted (errors) and with the best block so far
// (energy of a success, output per hour), so a fleet that gets worse becomes urgent, and one that never was better does
// not. Memory is a handful of numbers.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "actors/semantics/facts.hpp"
#include "actors/semantics/refiner.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

class JsonText;

struct EconWatchConfig {
  uint64_t block_episodes = 200;  // 0: signals come from outside, or not at all
  double error_wanted = 0.05;     // share of episodes that fail: not urgent at all
  double error_intolerable = 0.35;
};

class EconWatch {
 public:
  explicit EconWatch(const EconWatchConfig& config) : config_(config) {}

  // An episode whose outcome is known. energy_Wh: 0 where it was not measured. True: a block is full, signals() is new.
  bool observe(const OutcomeFacts& outcome, double energy_Wh);
  // Of the last full block; all zero before the first.
  //   error:  share of failures, from wanted (0) to intolerable (1)
  //   energy: energy of a success over that of the best block, from equal (0) to twice as much (1)
  //   mpl:    output of the block under that of the best block, from equal (0) to half of it (1)
  EconSignals signals() const { return signals_; }

  void write(JsonText& out) const;
  Status read(const nlohmann::json& from);

 private:
  EconWatchConfig config_;
  struct Block {
    uint64_t episodes = 0, failures = 0;
    double mpl_sum = 0;
    double energy_sum_Wh = 0;
    uint64_t energy_count = 0;
  };
  Block block_;
  double best_mpl_ = 0;
  double best_Wh_ = 0;  // 0: no success was measured yet
  EconSignals signals_;
};

}  // namespace drover::semantics
