#include "actors/econ/reconcile.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "actors/econ/strict_toml.hpp"

namespace drover::econ {
namespace {

using nlohmann::json;

constexpr size_t tag_buckets_first = 12;
constexpr double feature_max = 10;
constexpr double squared_error_max = 100;
constexpr double squared_error_step = 1.0 / (1 << 20);
enum Target : size_t { target_mpl, target_error, target_energy, target_delta, target_count };

double bounded(double value) {
  return std::isfinite(value) ? std::clamp(value, -feature_max, feature_max) : 0;
}

bool known_only_afterwards(std::string_view tag) {
  return tag == "template" || tag == "outcome" || tag == "failure" || tag == "result";
}

Estimate around(double mean, double half, double low) {
  return {mean, std::max(std::min(low, mean), mean - half), mean + half};
}

std::optional<double> number_in(const json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const auto value = found->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

void read_customers(const toml::array& list, ReconcileConfig& config, TomlProblems& problems) {
  std::set<std::string> seen;
  for (const toml::node& node : list) {
    if (!node.is_table()) {
      problems.add(&node, "customer", "needs [[customer]] tables");
      continue;
    }
    StrictTable table(*node.as_table(), "customer.", problems);
    CustomerTerms c;
    table.text("robot", c.robot, true);
    table.text("customer_id", c.customer_id, true);
    table.number("withheld", c.withheld, {0, 1});
    table.number("horizon_h", c.horizon_h, {0, 1e6, true});
    if (c.robot.empty() || c.robot.size() > 64) table.problem("robot", "needs 1 to 64 bytes");
    if (c.customer_id.empty() || c.customer_id.size() > 128) table.problem("customer_id", "needs 1 to 128 bytes");
    if (!seen.insert(c.robot).second) table.problem("robot", "is there twice");
    table.finish();
    config.customers.push_back(std::move(c));
  }
}

// Threshold on one quantity: values ascending, with the error of each.
std::optional<double> surprise_from(std::vector<std::pair<double, double>> values, const ReconcileConfig& config) {
  const auto least = static_cast<size_t>(config.threshold_outcomes);
  if (values.size() < 2 * least) return std::nullopt;
  std::sort(values.begin(), values.end());
  double above = 0;
  for (const auto& [value, error] : values) above += error;
  const double bar = config.surprise_ratio * above / static_cast<double>(values.size());
  for (size_t i = 0; i + least <= values.size(); ++i) {
    const bool begins = i == 0 || values[i].first > values[i - 1].first;
    if (i >= least && begins && above > 0 && above / static_cast<double>(values.size() - i) >= bar)
      return values[i].first;
    above -= values[i].second;
  }
  return std::nullopt;
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

}  // namespace

Result<ReconcileConfig> parse_reconcile(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  TomlProblems problems(file);
  StrictTable top(root, "", problems);
  ReconcileConfig c;
  if (top.text("currency", c.currency) &&
      (c.currency.size() != 3 ||
       !std::all_of(c.currency.begin(), c.currency.end(), [](char l) { return l >= 'A' && l <= 'Z'; })))
    top.problem("currency", "needs three capital letters");
  if (std::string on = c.predict_on_arrival ? "yes" : "no"; top.text("predict_on_arrival", on)) {
    if (on != "yes" && on != "no") top.problem("predict_on_arrival", "needs \"yes\" or \"no\"");
    c.predict_on_arrival = on == "yes";
  }
  top.number("ridge", c.ridge, {0, 1e6, true});
  top.number("prior_std", c.prior_std, {0, 100, true});
  top.number("prior_weight", c.prior_weight, {0, 1e6, true});
  top.number("confidence_z", c.confidence_z, {0, 10, true});
  top.number("kappa_min", c.kappa_min, {0, 1});
  top.number("kappa_max", c.kappa_max, {0, 1});
  if (c.kappa_min > c.kappa_max) top.problem("kappa_min", "is above kappa_max");
  top.integer("calibration_outcomes", c.calibration_outcomes, 1, 1'000'000);
  top.number("surprise_ratio", c.surprise_ratio, {1, 100});
  top.integer("threshold_outcomes", c.threshold_outcomes, 1, 1'000'000);
  top.number("novelty_default", c.novelty_default, {0, 1});
  top.number("causal_gain_default", c.causal_gain_default, {0, 1e6});
  if (const toml::array* customers = top.array("customer")) read_customers(*customers, c, problems);
  top.finish();
  DROVER_TRY(problems.status());
  return c;
}

Result<ReconcileConfig> load_reconcile(const std::string& path) {
  DROVER_ASSIGN(const std::string text, read_small_file(path));
  return parse_reconcile(text, path);
}

CustomerTerms terms_for(const ReconcileConfig& config, const std::string& robot) {
  CustomerTerms out{robot, "*", 0, 1};
  for (const CustomerTerms& c : config.customers) {
    if (c.robot != robot && c.robot != "*") continue;
    out = c;
    if (c.robot == robot) break;
  }
  if (out.customer_id == "*") out.customer_id = robot;
  return out;
}

std::vector<double> features_of(const Condition& c, double novelty) {
  std::vector<double> x(condition_features, 0.0);
  const double dx = c.vase_offset_m.size() > 0 ? c.vase_offset_m[0] * 10 : 0;  // tenths of a metre
  const double dy = c.vase_offset_m.size() > 1 ? c.vase_offset_m[1] * 10 : 0;
  const double friction = c.drawer_friction / 10;
  x[0] = 1;
  x[1] = bounded(novelty);
  x[2] = bounded(dx);
  x[3] = bounded(dx * dx);
  x[4] = bounded(dy);
  x[5] = bounded(dy * dy);
  x[6] = bounded(std::max(0.0, -2 * dy));  // into the drawer's path
  x[7] = bounded(friction);
  x[8] = bounded(friction * friction);
  x[9] = bounded(c.occlusion_level);
  x[10] = bounded(c.occlusion_level * c.occlusion_level);
  x[11] = c.lighting_profile == "normal" || c.lighting_profile == "bright" ? 0 : 1;
  const json tags = json::parse(c.tags_json.empty() ? "{}" : c.tags_json, nullptr, false);
  if (tags.is_object())
    for (const auto& [key, value] : tags.items()) {
      if (known_only_afterwards(key) || !value.is_string()) continue;
      const std::string text = key + "=" + value.get<std::string>();
      const uint64_t bucket = checksum64(as_bytes(text)) % (condition_features - tag_buckets_first);
      x[tag_buckets_first + bucket] = 1;
    }
  return x;
}

std::vector<std::string> feature_names() {
  std::vector<std::string> names = {"1",       "novelty",  "dx",         "dx^2",      "dy",          "dy^2",
                                    "in_path", "friction", "friction^2", "occlusion", "occlusion^2", "poor_light"};
  for (size_t i = tag_buckets_first; i < condition_features; ++i)
    names.push_back("tag_bucket_" + std::to_string(i - tag_buckets_first));
  return names;
}

std::string model_name(const Prediction& p) {
  return p.basis + ":" + p.task_name;
}

const Estimator::Model* Estimator::find(const std::string& model) const {
  const auto found = models_.find(model);
  return found == models_.end() ? nullptr : &found->second;
}

double Estimator::calibration(const std::string& model) const {
  const Model* m = find(model);
  const auto trust = static_cast<double>(config_.calibration_outcomes);
  if (m == nullptr) return 1;
  const double sum = static_cast<double>(m->squared_error) * squared_error_step;
  return std::clamp(std::sqrt((sum + trust) / (static_cast<double>(m->errors) + trust)), 0.5, 4.0);
}

double Estimator::condition_novelty(const std::string& task, const Condition& condition) const {
  const Model* m = find("deployment:" + task);
  if (m == nullptr) return 1;
  const double h = m->regression.ask(target_mpl, features_of(condition, 0), {config_.ridge, 0, 1, 1}).leverage;
  return m->regression.outcomes(target_mpl) == 0 ? 1 : h / (1 + h);
}

Prediction Estimator::predict(const AskedPrediction& a) const {
  Prediction p;
  p.pack_id = a.pack_id;
  p.customer_id = a.customer_id;
  p.task_name = a.task_name;
  p.basis = a.basis;
  p.made_unix_ns = a.made_unix_ns;
  p.novelty = std::clamp(a.novelty, 0.0, 1.0);
  p.tier = a.tier;
  p.features = features_of(a.condition, p.novelty);
  p.base_mpl_units_per_h = a.base_mpl_units_per_h;
  const std::string name = model_name(p);
  static const Model empty{Regression(condition_features, target_count), 0, 0};
  const Model* known = find(name);
  const Regression& r = known == nullptr ? empty.regression : known->regression;
  const double wide = calibration(name) * config_.confidence_z;
  const auto ask = [&](Target t, double reference, double scale) {
    return r.ask(t, p.features, {config_.ridge, reference, config_.prior_std * scale, config_.prior_weight});
  };
  const double base = p.base_mpl_units_per_h;
  const double reference = base > 0 ? base : r.mean(target_mpl);
  const auto mpl = ask(target_mpl, reference, std::max(reference, 1.0));
  const double mpl_mean = std::max(0.0, mpl.mean);
  p.mpl_units_per_h = around(mpl_mean, wide * mpl.std * std::sqrt(mpl.leverage), 0);
  const bool deployment = a.basis == basis_deployment && base > 0;
  const auto delta =
      deployment ? RegressionAnswer{mpl_mean / base - 1, mpl.std / base, mpl.leverage} : ask(target_delta, 0, 1);
  p.delta_mpl = around(delta.mean, wide * delta.std * std::sqrt(delta.leverage), deployment ? -1 : -1e6);
  p.delta_mpl_std = delta.std * std::sqrt(1 + delta.leverage);
  const auto error = ask(target_error, r.mean(target_error), 1);
  p.error_rate = around(std::max(0.0, error.mean), wide * error.std * std::sqrt(error.leverage), 0);
  const double energy_mean = r.mean(target_energy);
  const auto energy = ask(target_energy, energy_mean, std::max(energy_mean, 0.01));
  p.energy_Wh = around(std::max(0.0, energy.mean), wide * energy.std * std::sqrt(energy.leverage), 0);
  const double kappa = p.delta_mpl.mean > 0 ? p.delta_mpl.low / p.delta_mpl.mean : 0;
  p.kappa = std::clamp(kappa, config_.kappa_min, config_.kappa_max);
  p.model_outcomes = r.outcomes(deployment ? target_mpl : target_delta);
  p.model = "rls1/" + std::string(feature_version) + "/" + name + "#" + std::to_string(p.model_outcomes);
  return p;
}

void Estimator::learn(const Prediction& p, const RealisedOutcome& o, bool add) {
  if (p.features.size() != condition_features) return;  // made by other features: its error counts, it cannot teach
  Model& m =
      models_.try_emplace(model_name(p), Model{Regression(condition_features, target_count), 0, 0}).first->second;
  const std::optional<double> measured[] = {o.metrics.mpl_units_per_h, o.metrics.error_rate, o.metrics.energy_Wh,
                                            realised_delta_mpl(p, o)};
  std::vector<double> y;
  std::vector<bool> present;
  for (const auto& value : measured) {
    y.push_back(value.value_or(0));
    present.push_back(value.has_value());
  }
  add ? m.regression.add({p.features, y, present}) : m.regression.take_back({p.features, y, present});
  if (!measured[target_delta] || !(p.delta_mpl_std > 0)) return;
  const double error = (*measured[target_delta] - p.delta_mpl.mean) / p.delta_mpl_std;
  const Int128 squared = std::llround(std::min(error * error, squared_error_max) / squared_error_step);
  m.errors += add ? 1 : -1;
  m.squared_error += add ? squared : -squared;
}

std::vector<std::string> Estimator::models() const {
  std::vector<std::string> names;
  for (const auto& [name, model] : models_) names.push_back(name);
  return names;
}

uint64_t Estimator::outcomes(const std::string& model) const {
  const Model* m = find(model);
  return m == nullptr ? 0 : m->regression.outcomes(target_delta);
}

std::string Estimator::save(const std::string& model) const {
  const Model* m = find(model);
  if (m == nullptr) return {};
  std::string out(sizeof m->errors + sizeof m->squared_error, '\0');
  std::memcpy(out.data(), &m->errors, sizeof m->errors);
  std::memcpy(out.data() + sizeof m->errors, &m->squared_error, sizeof m->squared_error);
  return out + m->regression.save();
}

Status Estimator::restore(const std::string& model, std::string_view bytes) {
  Model m;
  const size_t head = sizeof m.errors + sizeof m.squared_error;
  if (bytes.size() < head) return fail(Errc::corrupt, "model " + model, "the saved state is too short");
  std::memcpy(&m.errors, bytes.data(), sizeof m.errors);
  std::memcpy(&m.squared_error, bytes.data() + sizeof m.errors, sizeof m.squared_error);
  DROVER_ASSIGN(m.regression, Regression::restore(bytes.substr(head)));
  if (m.regression.features() != condition_features || m.regression.targets() != target_count)
    return fail(Errc::unsupported_version, "model " + model, "has other features than this build");
  models_[model] = std::move(m);
  return {};
}

std::optional<double> realised_delta_mpl(const Prediction& p, const RealisedOutcome& o) {
  if (o.metrics.delta_mpl) return o.metrics.delta_mpl;
  if (!o.metrics.mpl_units_per_h || !(p.base_mpl_units_per_h > 0)) return std::nullopt;
  const double delta = *o.metrics.mpl_units_per_h / p.base_mpl_units_per_h - 1;
  return delta <= measure_max ? std::optional(delta) : std::nullopt;
}

Result<Reconciliation> reconcile(const Prediction& p, const RealisedOutcome& o, double z) {
  if (p.pack_id != o.pack_id || (o.measured && p.customer_id != o.customer_id))
    return fail(Errc::invalid_argument, "outcome", "is of another pack or customer");
  if (!o.measured && p.basis != basis_deployment)
    return fail(Errc::invalid_argument, "outcome", "a datapack does not say what its data was worth");
  const auto realised = realised_delta_mpl(p, o);
  if (!realised) return fail(Errc::invalid_argument, "outcome", "holds neither dMPL nor an MPL that has a base");
  Reconciliation r;
  r.pack_id = p.pack_id;
  r.customer_id = p.customer_id;
  r.basis = p.basis;
  r.task_name = p.task_name;
  r.made_unix_ns = p.made_unix_ns;
  r.time_unix_ns = o.time_unix_ns;
  r.prediction = prediction_id(p);
  r.outcome = outcome_id(o);
  r.predicted_delta_mpl = p.delta_mpl.mean;
  r.realised_delta_mpl = *realised;
  r.error_delta_mpl = *realised - p.delta_mpl.mean;
  const auto error = [](const std::optional<double>& value, const Estimate& e) -> std::optional<double> {
    return value ? std::optional(*value - e.mean) : std::nullopt;
  };
  r.error_mpl_units_per_h = error(o.metrics.mpl_units_per_h, p.mpl_units_per_h);
  r.error_error_rate = error(o.metrics.error_rate, p.error_rate);
  r.error_energy_Wh = error(o.metrics.energy_Wh, p.energy_Wh);
  r.inside_interval = std::abs(r.error_delta_mpl) <= z * p.delta_mpl_std;
  if (!p.terms) return r;
  r.quoted = p.terms->quoted;
  DROVER_ASSIGN(r.earned, quote_amount({p.terms->price_per_unit, 1.0, *realised * p.base_mpl_units_per_h,
                                        p.terms->horizon_ns, p.terms->withheld_parts}));
  if (p.terms->cap) r.earned = std::min(r.earned, *p.terms->cap);
  r.true_up = r.quoted - r.earned;
  return r;
}

bool counts_before(const Prediction& a, const Prediction& b) {
  if (a.made_unix_ns != b.made_unix_ns) return a.made_unix_ns < b.made_unix_ns;
  return prediction_id(a) < prediction_id(b);
}

bool counts_before(const RealisedOutcome& a, const RealisedOutcome& b) {
  if (a.measured != b.measured) return a.measured;
  if (a.time_unix_ns != b.time_unix_ns) return a.time_unix_ns > b.time_unix_ns;
  return outcome_id(a) < outcome_id(b);
}

AdjustedThresholds adjust_thresholds(const ReconcileConfig& config, std::vector<Surprise> all) {
  std::vector<std::pair<double, double>> by_novelty, by_gain;
  for (const Surprise& s : all) {
    by_novelty.emplace_back(s.novelty, s.abs_error);
    by_gain.emplace_back(s.causal_gain, s.abs_error);
  }
  const auto novelty = surprise_from(std::move(by_novelty), config);
  const auto gain = surprise_from(std::move(by_gain), config);
  AdjustedThresholds out{novelty.value_or(config.novelty_default), gain.value_or(config.causal_gain_default), {}};
  const auto say = [&](const char* what, const std::optional<double>& value, double otherwise) {
    out.why.append(out.why.empty() ? "" : "; ").append(what);
    if (value)
      out.why.append(": errors are ")
          .append(number_text(config.surprise_ratio))
          .append(" of their mean from ")
          .append(number_text(*value))
          .append(" on");
    else
      out.why.append(": nothing in ")
          .append(std::to_string(all.size()))
          .append(" outcomes speaks against ")
          .append(number_text(otherwise));
  };
  say("novelty", novelty, config.novelty_default);
  say("causal gain", gain, config.causal_gain_default);
  return out;
}

double base_mpl_of(const Datapack& pack) {
  const json metrics = json::parse(pack.episode_metrics_json, nullptr, false);
  if (!metrics.is_object() || !metrics.contains("baseline")) return 0;
  const json& baseline = metrics["baseline"];
  if (baseline.is_object() && baseline.contains("self"))
    for (const json& part : baseline["self"])
      if (part == "mpl") return 0;
  const double base = number_in(baseline, "mpl_units_per_h").value_or(0);
  return base >= 1e-6 && base <= measure_max ? base : 0;
}

std::optional<RealisedOutcome> outcome_of(const Datapack& pack) {
  RealisedOutcome o;
  o.pack_id = pack.pack_id;
  o.time_unix_ns = pack.provenance.end_unix_ns;
  o.measured = false;
  const json metrics = json::parse(pack.episode_metrics_json, nullptr, false);
  o.metrics.mpl_units_per_h = number_in(metrics, "mpl_units_per_h");
  o.metrics.error_rate = number_in(metrics, "error_rate");
  const bool measured_energy = !(metrics.is_object() && metrics.contains("energy") && metrics["energy"].is_object() &&
                                 metrics["energy"].value("method", "") == "none");
  if (measured_energy) o.metrics.energy_Wh = pack.energy.total_Wh;
  o.metrics.delta_mpl = pack.attribution.delta_mpl;
  if (!o.metrics.mpl_units_per_h || !validate(o)) return std::nullopt;
  return o;
}

Result<RealisedOutcome> outcome_of(std::string_view pack_id, std::string_view customer_id,
                                   std::string_view metrics_json, int64_t time_unix_ns) {
  const json metrics = json::parse(metrics_json, nullptr, false);
  if (!metrics.is_object()) return fail(Errc::invalid_argument, "metrics_json", "is no JSON object");
  RealisedOutcome o;
  o.pack_id = pack_id;
  o.customer_id = customer_id;
  o.time_unix_ns = time_unix_ns;
  o.metrics.mpl_units_per_h = number_in(metrics, "mpl_units_per_h");
  o.metrics.delta_mpl = number_in(metrics, "delta_mpl");
  o.metrics.error_rate = number_in(metrics, "error_rate");
  o.metrics.energy_Wh = number_in(metrics, "energy_Wh");
  DROVER_TRY(validate(o));
  return o;
}

}  // namespace drover::econ
