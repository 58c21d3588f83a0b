// SkillGraph: which manoeuvre of which skill follows which, by the outcome of the one before. From skills.toml. Pure.
//
// Invariants after parsing: every edge leads to a node, `done` or `abort`; every node may be entered a bounded number
// of times, so that every walk ends; with a playbook, every node's manoeuvre is in it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/playbook.hpp"
#include "messages/result.hpp"

namespace drover::robot {

enum class NodeKind : uint8_t {
  skill,     // the plain skill
  retry,     // the same again after it failed
  recovery,  // something else that repairs a failure first
};
std::string_view node_kind_name(NodeKind kind) noexcept;

struct SkillNode {
  std::string name;
  int64_t skill_id = 0;  // of the file's [skills], or of actors/datapack/skills.hpp
  std::string skill;     // its name
  std::string manoeuvre;
  NodeKind kind = NodeKind::skill;
  int64_t visits_max = 8;
  std::map<std::string, size_t> next;  // outcome -> node index, or one of the two below
};

class SkillGraph {
 public:
  static constexpr size_t done = SIZE_MAX;
  static constexpr size_t abort = SIZE_MAX - 1;

  // Errors: invalid_argument with every problem.
  static Result<SkillGraph> parse(std::string_view toml_text, const std::string& file);
  static Result<SkillGraph> load(const std::string& path);

  size_t start() const { return start_; }
  const SkillNode& node(size_t index) const { return nodes_[index]; }
  size_t size() const { return nodes_.size(); }
  // Manoeuvres that the file spells out; none: they are in code (drawer_manoeuvres.hpp).
  const Playbook& playbook() const { return playbook_; }
  // An outcome without an edge aborts.
  size_t after(size_t index, std::string_view outcome) const;
  // As its nodes name it; empty: no node runs it.
  std::string_view skill_name(int64_t skill_id) const;

 private:
  std::vector<SkillNode> nodes_;
  Playbook playbook_;
  size_t start_ = 0;
};

}  // namespace drover::robot
