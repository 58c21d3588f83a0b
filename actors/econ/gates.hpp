// The frozen gates: how much a record is trusted, what it weighs, and how much of all weight may be synthetic.
//
// They are files (configs/gates, described in its README) that are read once, compared with the SHA-256 digests
// recorded in their manifest, and never written: the program holds no code that could. Whoever loads them stops when a
// digest differs. Advisory parts (semantics, sampling) cannot reach this room, and this room links nothing of theirs.
//
// The four rules (domain.md 6)
//   1. Trust first: what is not real data of a real deployment has weight 0 unless its trust is >= the threshold (0.9).
//   2. w_quality = trust * w_econ(dMPL, dError, dEP, novelty, brick); w_econ never falls when dMPL rises, dError falls
//      or dEP rises.
//   3. lambda is a budget over all weight (target 0.20), never above 0.40, and says nothing about single records.
//   4. Files with recorded digests, read only; every weight that is used is written into its record.
// Pure but for load(); only IEEE arithmetic, so that every machine gives a record the same bytes. Threads: const is
// safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "actors/econ/gates_budget.hpp"
#include "actors/econ/gates_lattice.hpp"
#include "actors/econ/gates_trust.hpp"
#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::gates {

// Everything a weight follows from.
struct Weight {
  Judgement trust;
  double w_econ = 0;         // 0 where trust has not passed
  double w_quality = 0;      // trust * w_econ
  double lambda_budget = 0;  // synthetic share that the budget aims at; 0 for real data, which it does not limit
};

class Gates {
 public:
  // Reads manifest.toml and the files it names from `dir` and compares their digests. `manifest_sha256` pins the
  // manifest itself; empty: it is believed as it is.
  // Errors: not_found, io; conflict (a digest differs, the file is named with both digests); invalid_argument (the
  // manifest or a file is not what it should be), unsupported_version.
  static Result<std::shared_ptr<const Gates>> load(const std::string& dir, const std::string& manifest_sha256 = {});

  // `novelty` in [0, 1]; absent: not known yet, the lattice has a value for that.
  Weight weigh(const Datapack& pack, std::optional<double> novelty = std::nullopt) const;

  // Weighs the pack and writes trust_score, w_econ, lambda_budget, econ_weight_final and mvd_score
  // (w_quality * expected_delta_J) into its attribution, and into its episode_metrics where they came from (`gates`,
  // `trust_source`, `w_econ_source`). Errors: invalid_argument (episode_metrics is not a JSON object).
  Status apply(Datapack& pack, double expected_delta_J) const;

  // SHA-256 of the manifest, in hex: names these gates as a whole.
  const std::string& id() const { return id_; }
  const std::string& dir() const { return dir_; }
  const TrustNet& trust_net() const { return trust_; }
  const EconLattice& lattice() const { return lattice_; }
  const LambdaBudget& budget() const { return budget_; }
  // Name and digest of each file, in order of name.
  const std::vector<std::pair<std::string, std::string>>& files() const { return files_; }

 private:
  Gates() = default;
  std::string id_;
  std::string dir_;
  TrustNet trust_;
  EconLattice lattice_;
  LambdaBudget budget_;
  std::vector<std::pair<std::string, std::string>> files_;
};

// How a pack's recorded weights differ from what `gates` give it; empty: they agree. Novelty is not recorded in packs.
std::string difference(const Datapack& pack, const Gates& gates);

}  // namespace drover::gates
