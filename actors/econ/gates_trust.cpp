// Only + - * / and comparisons: the same bits on every machine. configs/gates/train.py computes the same figures.
#include "actors/econ/gates_trust.hpp"

#include <algorithm>
#include <cmath>

#include "actors/econ/gates_toml.hpp"

namespace drover::gates {
namespace {

constexpr size_t nets_max = 64;
constexpr size_t skills_max = 64;
constexpr size_t hidden_max = 256;
constexpr double standard_max = 8;
constexpr double threshold_min = 0.9;
constexpr double J_per_Wh = 3600;

double metric(const Metrics& metrics, std::string_view name) {
  const auto at = metrics.find(std::string(name));
  return at == metrics.end() ? 0 : at->second;
}

bool has_tag(const Datapack& pack, std::string_view tag) {
  return std::find(pack.semantic_tags.begin(), pack.semantic_tags.end(), tag) != pack.semantic_tags.end();
}

double ratio(double over, double under) {
  return under > 0 ? over / under : 0;
}

// What the skill trace says as a whole.
struct TraceFigures {
  double span_s = 0, gap_s = 0, steps = 0, descents = 0, failures = 0, recoveries = 0, last_failed = 0;
};

TraceFigures trace_figures(const std::vector<SkillStep>& trace) {
  TraceFigures f;
  if (trace.empty()) return f;
  f.span_s = trace.back().end_s - trace.front().start_s;
  f.steps = static_cast<double>(trace.size());
  for (size_t k = 0; k < trace.size(); ++k) {
    f.failures += trace[k].outcome == "failure" ? 1 : 0;
    f.recoveries += trace[k].outcome == "recovered" ? 1 : 0;
    if (k == 0) continue;
    f.gap_s += std::abs(trace[k].start_s - trace[k - 1].end_s);
    f.descents += trace[k].skill_id < trace[k - 1].skill_id ? 1 : 0;
  }
  f.last_failed = trace.back().outcome == "failure" ? 1 : 0;
  return f;
}

void add_whole(const Datapack& pack, std::vector<double>& out) {
  const TraceFigures t = trace_figures(pack.skill_trace);
  const double total_J = pack.energy.total_Wh * J_per_Wh;
  const double power_W = ratio(total_J, t.span_s);
  const Metrics& c = pack.energy.coordination_metrics;
  double events = 0;
  for (const std::string& tag : pack.semantic_tags) events += tag.starts_with("event:") ? 1 : 0;
  const double units = pack.energy.Wh_per_unit > 0 ? pack.energy.total_Wh / pack.energy.Wh_per_unit : 0;
  out = {t.span_s,
         power_W,
         ratio(metric(c, "peak_W"), power_W),
         ratio(metric(c, "copper_loss_J"), total_J),
         metric(c, "integrated_s") - t.span_s,
         t.gap_s,
         t.steps,
         t.descents,
         t.failures,
         t.recoveries,
         t.last_failed,
         units,
         has_tag(pack, "safety_violated") ? 1.0 : 0.0,
         has_tag(pack, "error_event") ? 1.0 : 0.0,
         events};
  const Condition& where = pack.condition;
  out.push_back(where.vase_offset_m.size() > 0 ? where.vase_offset_m[0] : 0);
  out.push_back(where.vase_offset_m.size() > 1 ? where.vase_offset_m[1] : 0);
  out.push_back(where.drawer_friction);
  out.push_back(where.occlusion_level);
}

constexpr std::array whole_names{"span_s",           "power_W",     "peak_over_power", "copper_over_energy",
                                 "integrated_gap_s", "trace_gap_s", "steps",           "descents",
                                 "failures",         "recoveries",  "last_failed",     "units",
                                 "safety_violated",  "error_event", "events",          "offset_x_m",
                                 "offset_y_m",       "friction",    "occlusion"};

double standard(double x, double mean, double scale) {
  return std::clamp((x - mean) / scale, -standard_max, standard_max);
}

double layer(const std::vector<double>& weights, const std::vector<double>& x) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += weights[i] * x[i];
  return sum + weights.back();
}

double score(const TaskNet& net, double logit) {
  if (!(logit > net.logits.front())) return net.scores.front();
  for (size_t k = 1; k < net.logits.size(); ++k)
    if (logit < net.logits[k])
      return net.scores[k - 1] +
             (net.scores[k] - net.scores[k - 1]) * ((logit - net.logits[k - 1]) / (net.logits[k] - net.logits[k - 1]));
  return net.scores.back();
}

bool rises(const std::vector<double>& values, bool strictly) {
  for (size_t i = 1; i < values.size(); ++i)
    if (strictly ? !(values[i - 1] < values[i]) : !(values[i - 1] <= values[i])) return false;
  return true;
}

void check_net(const TaskNet& net, econ::StrictTable& table) {
  const size_t n = figure_names(net).size();
  for (const auto& [key, values] : {std::pair{"low", &net.low}, std::pair{"high", &net.high},
                                    std::pair{"mean", &net.mean}, std::pair{"scale", &net.scale}})
    if (values->size() != n) table.problem(key, "needs a number for each of the " + std::to_string(n) + " figures");
  for (size_t i = 0; i < std::min(net.low.size(), net.high.size()); ++i)
    if (net.low[i] > net.high[i]) table.problem("low", "is above high at figure " + std::to_string(i));
  if (std::any_of(net.scale.begin(), net.scale.end(), [](double s) { return s <= 0; }))
    table.problem("scale", "must be above 0");
  if (net.hidden.empty() || net.hidden.size() > hidden_max) table.problem("hidden", "needs 1 to 256 rows");
  for (const auto& row : net.hidden)
    if (row.size() != n + 1) return table.problem("hidden", "a row needs a weight for each figure, and a bias");
  if (net.output.size() != net.hidden.size() + 1) table.problem("output", "needs a weight for each row, and a bias");
  if (net.logits.size() < 2 || net.logits.size() != net.scores.size() || !rises(net.logits, true))
    table.problem("logits", "needs at least two rising numbers, as many as scores");
  if (!rises(net.scores, false) || (!net.scores.empty() && (net.scores.front() < 0 || net.scores.back() > 1)))
    table.problem("scores", "must lie in [0, 1] and not fall");
}

TaskNet read_net(const toml::table& node, econ::TomlProblems& problems) {
  econ::StrictTable table(node, "net.", problems);
  TaskNet net;
  table.text("task_name", net.task_name, true);
  table.text("engine_type", net.engine_type, true);
  for (const double id : numbers(table, "skills")) net.skills.push_back(static_cast<int64_t>(std::lround(id)));
  net.joints = texts(table, "joints");
  if (net.skills.size() > skills_max || net.joints.size() > skills_max) table.problem("skills", "there are too many");
  if (texts(table, "figures") != figure_names(net))
    table.problem("figures", "are not those that this program computes, in its order");
  net.low = numbers(table, "low");
  net.high = numbers(table, "high");
  net.mean = numbers(table, "mean");
  net.scale = numbers(table, "scale");
  if (const toml::array* rows = table.array("hidden")) {
    for (const toml::node& row : *rows) {
      if (row.is_array()) net.hidden.push_back(numbers_of(*row.as_array(), table, "hidden"));
    }
    if (net.hidden.size() != rows->size()) table.problem("hidden", "must hold rows of numbers");
  }
  net.output = numbers(table, "output");
  net.logits = numbers(table, "logits");
  net.scores = numbers(table, "scores");
  check_net(net, table);
  table.finish();
  return net;
}

}  // namespace

std::vector<double> figures(const Datapack& pack, const TaskNet& net) {
  std::vector<double> out;
  add_whole(pack, out);
  for (const int64_t id : net.skills) {
    double duration_s = 0;
    double uses = 0;
    for (const SkillStep& step : pack.skill_trace) {
      if (step.skill_id != id) continue;
      duration_s += step.end_s - step.start_s;
      uses += 1;
    }
    const auto contrib = pack.attribution.skill_contribs.find(id);
    const double used_Wh = contrib == pack.attribution.skill_contribs.end() ? 0 : metric(contrib->second, "Wh");
    out.push_back(duration_s);
    out.push_back(ratio(used_Wh * J_per_Wh, duration_s));
    out.push_back(uses);
  }
  for (const std::string& name : net.joints) {
    const auto joint = pack.energy.per_joint.find(name);
    const double used_Wh = joint == pack.energy.per_joint.end() ? 0 : metric(joint->second, "Wh");
    out.push_back(ratio(used_Wh, pack.energy.total_Wh));
  }
  return out;
}

std::vector<std::string> figure_names(const TaskNet& net) {
  std::vector<std::string> out(whole_names.begin(), whole_names.end());
  for (const int64_t id : net.skills)
    for (const char* what : {"duration_s", "power_W", "uses"})
      out.push_back(std::string("skill_").append(std::to_string(id)).append("_").append(what));
  for (const std::string& name : net.joints) out.push_back(std::string("joint_").append(name).append("_share"));
  return out;
}

bool is_real(const Datapack& pack) noexcept {
  return pack.attribution.source_type == SourceType::real && pack.condition.engine_type == "real";
}

const TaskNet* TrustNet::find(const Datapack& pack) const {
  for (const TaskNet& net : nets_)
    if (net.task_name == pack.task_name && net.engine_type == pack.condition.engine_type) return &net;
  return nullptr;
}

Judgement TrustNet::judge(const Datapack& pack) const {
  if (is_real(pack)) return {1, true, "real"};
  const TaskNet* net = find(pack);
  if (net == nullptr) return {0, false, "no_net"};
  std::vector<double> x = figures(pack, *net);
  for (size_t i = 0; i < x.size(); ++i)
    if (!(x[i] >= net->low[i] && x[i] <= net->high[i])) return {0, false, "outside:" + figure_names(*net)[i]};
  for (size_t i = 0; i < x.size(); ++i) x[i] = standard(x[i], net->mean[i], net->scale[i]);
  std::vector<double> h;
  h.reserve(net->hidden.size());
  for (const auto& row : net->hidden) h.push_back(std::max(layer(row, x), 0.0));
  const double trust = std::round(score(*net, layer(net->output, h)) * 1e6) / 1e6;
  return {trust, trust >= threshold_, "net"};
}

Result<TrustNet> TrustNet::parse(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, econ::parse_toml(toml_text, file));
  econ::TomlProblems problems(file);
  econ::StrictTable top(root, "", problems);
  DROVER_TRY(check_format(top, file));
  TrustNet trust;
  top.number("threshold", trust.threshold_, {threshold_min, 1}, true);
  const toml::array* tables = top.array("net");
  if (tables == nullptr || tables->size() > nets_max) {
    top.problem("net", "needs up to 64 [[net]] tables");
  } else {
    for (const toml::node& node : *tables) {
      if (!node.is_table()) top.problem("net", "must be tables: [[net]]");
      if (node.is_table()) trust.nets_.push_back(read_net(*node.as_table(), problems));
    }
  }
  top.finish();
  DROVER_TRY(problems.status());
  return trust;
}

}  // namespace drover::gates
