// drover packs skills and drover packs novelty: what datapacks say about skills, and what they are worth learning from.
#pragma once

#include <optional>
#include <string>

#include "nodes/commands/store_access.hpp"

namespace drover::nodes {

struct SkillOptions {
  std::string task;
  std::optional<int64_t> skill;
  std::vector<std::string> tags;
  std::optional<double> distance_max;
  uint32_t top_k = 10;
  uint32_t levels = 5;
  uint32_t limit = 10'000;
  std::string call;  // packs.skills, packs.skill_failures, ...
};
// Adds the subcommands of `skills`. Whichever was given is in options.call after parsing.
void add_skill_commands(CLI::App& skills, AccessOptions& access, SkillOptions& options);
int skills(const AccessOptions& access, const SkillOptions& options);

struct NoveltyOptions {
  std::string task;
  std::string pack;
  std::optional<int64_t> tier;
  std::optional<double> min_novelty;
  bool by_novelty = false;
  uint32_t limit = 20;
  bool update = false;
  std::optional<double> tier1_at;  // with update: thresholds
  std::optional<double> tier2_at;
};
void add_novelty_options(CLI::App& app, NoveltyOptions& options);
int novelty(const AccessOptions& access, const NoveltyOptions& options);

}  // namespace drover::nodes
