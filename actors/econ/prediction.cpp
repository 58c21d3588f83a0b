#include "actors/econ/prediction.hpp"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace drover::econ {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t text_max_bytes = 256;
constexpr size_t features_max = 64;
constexpr double ns_per_h = 3.6e12;

Status bad(std::string field, std::string what) {
  return fail(Errc::invalid_argument, std::move(field), std::move(what));
}

Status check_id(const std::string& text, const char* field, bool may_be_empty) {
  if (text.empty() && !may_be_empty) return bad(field, "is empty");
  if (text.size() > id_max_bytes) return bad(field, "is over 128 bytes");
  if (text.find('\0') != std::string::npos) return bad(field, "holds a zero byte");
  return {};
}

Status check_text(const std::string& text, const char* field) {
  return text.size() <= text_max_bytes ? Status{} : bad(field, "is over 256 bytes");
}

Status check_number(double value, const char* field) {
  return std::isfinite(value) ? Status{} : bad(field, "is not a finite number");
}

Status check_measure(const std::optional<double>& value, const char* field, bool signed_value) {
  DROVER_TRY(check_number(value.value_or(0), field));
  if (!signed_value && value.value_or(0) < 0) return bad(field, "is negative");
  return std::abs(value.value_or(0)) <= measure_max ? Status{} : bad(field, "is above 1e9");
}

Status check_share(double value, const char* field) {
  return value >= 0 && value <= 1 ? Status{} : bad(field, "must be in [0, 1]");
}

Status check_estimate(const Estimate& e, const char* field) {
  for (const double value : {e.mean, e.low, e.high}) DROVER_TRY(check_number(value, field));
  return e.low <= e.mean && e.mean <= e.high ? Status{} : bad(field, "needs low <= mean <= high");
}

Status check_terms(const QuoteTerms& t) {
  if (t.price_per_unit < 0) return bad("terms.price_per_unit", "is negative");
  if (t.horizon_ns < 0) return bad("terms.horizon_ns", "is negative");
  if (t.withheld_parts < 0 || t.withheld_parts > share_parts) return bad("terms.withheld_parts", "must be in [0, 1e9]");
  if (t.quoted < 0) return bad("terms.quoted", "is negative");
  if (t.cap && *t.cap < t.quoted) return bad("terms.cap", "is below what was quoted");
  return check_text(t.contract, "terms.contract");
}

Json estimate_json(const Estimate& e) {
  return Json::array({e.mean, e.low, e.high});
}

template <class T>
void put_if(Json& out, const char* key, const std::optional<T>& value) {
  if (value) out[key] = *value;
}

Json terms_json(const QuoteTerms& t) {
  Json out = {{"price_per_unit_micro", t.price_per_unit},
              {"horizon_ns", t.horizon_ns},
              {"withheld_parts", t.withheld_parts},
              {"quoted_micro", t.quoted}};
  put_if(out, "cap_micro", t.cap);
  if (!t.contract.empty()) out["contract"] = t.contract;
  return out;
}

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Strict reading of one object: every key is asked for, what is left over is an error.
class Reader {
 public:
  Reader(const Json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {
    if (!object.is_object()) problem_ = bad(prefix_.empty() ? "json" : prefix_, "is not an object");
  }
  void text(const char* key, std::string& out, bool required = true) {
    if (const Json* v = find(key, required)) v->is_string() ? void(out = v->get<std::string>()) : wrong(key);
  }
  void number(const char* key, double& out, bool required = true) {
    if (const Json* v = find(key, required)) v->is_number() ? void(out = v->get<double>()) : wrong(key);
  }
  void number(const char* key, std::optional<double>& out) {
    asked_.insert(key);
    if (!object_.is_object() || !object_.contains(key)) return;
    number(key, out.emplace());
  }
  template <class Int>
  void integer(const char* key, Int& out, bool required = true) {
    const Json* v = find(key, required);
    if (v == nullptr) return;
    const bool fits =
        std::is_signed_v<Int>
            ? v->is_number_integer() && (!v->is_number_unsigned() || v->get<uint64_t>() <= uint64_t{INT64_MAX})
            : v->is_number_unsigned() && v->get<uint64_t>() <= std::numeric_limits<Int>::max();
    fits ? void(out = v->get<Int>()) : wrong(key);
  }
  void boolean(const char* key, bool& out) {
    if (const Json* v = find(key, true)) v->is_boolean() ? void(out = v->get<bool>()) : wrong(key);
  }
  void estimate(const char* key, Estimate& out) {
    std::vector<double> values;
    numbers(key, values);
    values.size() == 3 ? void(out = {values[0], values[1], values[2]}) : wrong(key);
  }
  void numbers(const char* key, std::vector<double>& out) {
    const Json* v = find(key, true);
    if (v == nullptr) return;
    if (!v->is_array() || v->size() > features_max) return wrong(key);
    for (const Json& item : *v) item.is_number() ? out.push_back(item.get<double>()) : wrong(key);
  }
  void hash(const char* key, Hash& out) {
    std::string hex;
    text(key, hex);
    const auto value = hash_from_hex(hex);
    value ? void(out = *value) : wrong(key);
  }
  const Json* object(const char* key) { return find(key, false); }
  void note(const Status& status) {
    if (problem_ && !status) problem_ = status;
  }
  Status finish() {
    if (!problem_) return problem_;
    for (const auto& [key, value] : object_.items())
      if (!asked_.contains(key)) return bad(prefix_ + key, "is not known");
    return {};
  }

 private:
  const Json* find(const char* key, bool required) {
    asked_.insert(key);
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (required) note(bad(prefix_ + key, "is missing"));
    return nullptr;
  }
  void wrong(const char* key) { note(bad(prefix_ + key, "has the wrong type")); }

  const Json& object_;
  std::string prefix_;
  std::set<std::string> asked_;
  Status problem_;
};

QuoteTerms read_terms(const Json& json, Reader& parent) {
  QuoteTerms t;
  Reader in(json, "terms.");
  in.integer("price_per_unit_micro", t.price_per_unit);
  in.integer("horizon_ns", t.horizon_ns);
  in.integer("withheld_parts", t.withheld_parts);
  in.integer("quoted_micro", t.quoted);
  if (in.object("cap_micro") != nullptr) in.integer("cap_micro", t.cap.emplace());
  in.text("contract", t.contract, false);
  parent.note(in.finish());
  return t;
}

Result<Json> parse(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return fail(Errc::invalid_argument, "json", "is no JSON");
  return json;
}

}  // namespace

Result<MicroUsd> quote_amount(const QuoteFactors& f) {
  if (f.price_per_unit < 0) return fail(Errc::invalid_argument, "price_per_unit", "is negative");
  if (f.horizon_ns < 0) return fail(Errc::invalid_argument, "horizon_ns", "is negative");
  if (f.withheld_parts < 0 || f.withheld_parts > share_parts)
    return fail(Errc::invalid_argument, "withheld_parts", "must be in [0, 1e9]");
  DROVER_TRY(check_share(f.kappa, "kappa"));
  DROVER_TRY(check_number(f.delta_mpl_units_per_h, "delta_mpl_units_per_h"));
  const double hours = static_cast<double>(f.horizon_ns) / ns_per_h;
  const double share = static_cast<double>(f.withheld_parts) / static_cast<double>(share_parts);
  const double micro = static_cast<double>(f.price_per_unit) * f.kappa * f.delta_mpl_units_per_h * hours * share;
  if (!(micro < 9e18)) return fail(Errc::too_large, "quote", "does not fit into 64-bit micro-dollars");
  return micro <= 0 ? 0 : std::llround(micro);
}

Status validate(const Prediction& p) {
  DROVER_TRY(check_id(p.pack_id, "pack_id", false));
  DROVER_TRY(check_id(p.customer_id, "customer_id", true));
  DROVER_TRY(check_id(p.task_name, "task_name", true));
  if (p.basis != basis_deployment && p.basis != basis_data) return bad("basis", "must be deployment or data");
  DROVER_TRY(check_text(p.model, "model"));
  DROVER_TRY(check_share(p.novelty, "novelty"));
  if (p.tier > 2) return bad("tier", "must be 0, 1 or 2");
  if (p.features.size() > features_max) return bad("features", "are over 64");
  for (const double value : p.features) DROVER_TRY(check_number(value, "features"));
  DROVER_TRY(check_number(p.base_mpl_units_per_h, "base_mpl_units_per_h"));
  if (p.base_mpl_units_per_h < 0) return bad("base_mpl_units_per_h", "is negative");
  DROVER_TRY(check_number(p.delta_mpl_std, "delta_mpl_std"));
  if (p.delta_mpl_std < 0) return bad("delta_mpl_std", "is negative");
  DROVER_TRY(check_estimate(p.delta_mpl, "delta_mpl"));
  DROVER_TRY(check_estimate(p.mpl_units_per_h, "mpl_units_per_h"));
  DROVER_TRY(check_estimate(p.error_rate, "error_rate"));
  DROVER_TRY(check_estimate(p.energy_Wh, "energy_Wh"));
  DROVER_TRY(check_share(p.kappa, "kappa"));
  return p.terms ? check_terms(*p.terms) : Status{};
}

Status validate(const RealisedOutcome& o) {
  DROVER_TRY(check_id(o.pack_id, "pack_id", false));
  DROVER_TRY(check_id(o.customer_id, "customer_id", true));
  const OutcomeMetrics& m = o.metrics;
  DROVER_TRY(check_measure(m.mpl_units_per_h, "mpl_units_per_h", false));
  DROVER_TRY(check_measure(m.delta_mpl, "delta_mpl", true));
  DROVER_TRY(check_measure(m.error_rate, "error_rate", false));
  DROVER_TRY(check_measure(m.energy_Wh, "energy_Wh", false));
  return {};
}

std::string to_json(const Prediction& p) {
  Json out = {{"pack_id", p.pack_id},
              {"customer_id", p.customer_id},
              {"task_name", p.task_name},
              {"made_unix_ns", p.made_unix_ns},
              {"basis", p.basis},
              {"model", p.model},
              {"model_outcomes", p.model_outcomes},
              {"novelty", p.novelty},
              {"tier", p.tier},
              {"features", p.features},
              {"base_mpl_units_per_h", p.base_mpl_units_per_h},
              {"delta_mpl", estimate_json(p.delta_mpl)},
              {"delta_mpl_std", p.delta_mpl_std},
              {"mpl_units_per_h", estimate_json(p.mpl_units_per_h)},
              {"error_rate", estimate_json(p.error_rate)},
              {"energy_Wh", estimate_json(p.energy_Wh)},
              {"kappa", p.kappa}};
  if (p.terms) out["terms"] = terms_json(*p.terms);
  return text_of(out);
}

std::string to_json(const RealisedOutcome& o) {
  Json out = {{"pack_id", o.pack_id},
              {"customer_id", o.customer_id},
              {"time_unix_ns", o.time_unix_ns},
              {"measured", o.measured}};
  put_if(out, "mpl_units_per_h", o.metrics.mpl_units_per_h);
  put_if(out, "delta_mpl", o.metrics.delta_mpl);
  put_if(out, "error_rate", o.metrics.error_rate);
  put_if(out, "energy_Wh", o.metrics.energy_Wh);
  return text_of(out);
}

std::string to_json(const Reconciliation& r) {
  Json out = {{"pack_id", r.pack_id},
              {"customer_id", r.customer_id},
              {"basis", r.basis},
              {"task_name", r.task_name},
              {"made_unix_ns", r.made_unix_ns},
              {"time_unix_ns", r.time_unix_ns},
              {"prediction", to_hex(r.prediction)},
              {"outcome", to_hex(r.outcome)},
              {"predicted_delta_mpl", r.predicted_delta_mpl},
              {"realised_delta_mpl", r.realised_delta_mpl},
              {"error_delta_mpl", r.error_delta_mpl}};
  put_if(out, "error_mpl_units_per_h", r.error_mpl_units_per_h);
  put_if(out, "error_error_rate", r.error_error_rate);
  put_if(out, "error_energy_Wh", r.error_energy_Wh);
  out["inside_interval"] = r.inside_interval;
  out["quoted_micro"] = r.quoted;
  out["earned_micro"] = r.earned;
  out["true_up_micro"] = r.true_up;
  return text_of(out);
}

Result<Prediction> prediction_from_json(std::string_view text) {
  DROVER_ASSIGN(const Json json, parse(text));
  Prediction p;
  Reader in(json, "");
  in.text("pack_id", p.pack_id);
  in.text("customer_id", p.customer_id);
  in.text("task_name", p.task_name);
  in.integer("made_unix_ns", p.made_unix_ns);
  in.text("basis", p.basis);
  in.text("model", p.model);
  in.integer("model_outcomes", p.model_outcomes);
  in.number("novelty", p.novelty);
  in.integer("tier", p.tier);
  in.numbers("features", p.features);
  in.number("base_mpl_units_per_h", p.base_mpl_units_per_h);
  in.estimate("delta_mpl", p.delta_mpl);
  in.number("delta_mpl_std", p.delta_mpl_std);
  in.estimate("mpl_units_per_h", p.mpl_units_per_h);
  in.estimate("error_rate", p.error_rate);
  in.estimate("energy_Wh", p.energy_Wh);
  in.number("kappa", p.kappa);
  if (const Json* terms = in.object("terms")) p.terms = read_terms(*terms, in);
  DROVER_TRY(in.finish());
  DROVER_TRY(validate(p));
  return p;
}

Result<RealisedOutcome> outcome_from_json(std::string_view text) {
  DROVER_ASSIGN(const Json json, parse(text));
  RealisedOutcome o;
  Reader in(json, "");
  in.text("pack_id", o.pack_id);
  in.text("customer_id", o.customer_id);
  in.integer("time_unix_ns", o.time_unix_ns);
  in.boolean("measured", o.measured);
  in.number("mpl_units_per_h", o.metrics.mpl_units_per_h);
  in.number("delta_mpl", o.metrics.delta_mpl);
  in.number("error_rate", o.metrics.error_rate);
  in.number("energy_Wh", o.metrics.energy_Wh);
  DROVER_TRY(in.finish());
  DROVER_TRY(validate(o));
  return o;
}

Result<Reconciliation> reconciliation_from_json(std::string_view text) {
  DROVER_ASSIGN(const Json json, parse(text));
  Reconciliation r;
  Reader in(json, "");
  in.text("pack_id", r.pack_id);
  in.text("customer_id", r.customer_id);
  in.text("basis", r.basis);
  in.text("task_name", r.task_name);
  in.integer("made_unix_ns", r.made_unix_ns);
  in.integer("time_unix_ns", r.time_unix_ns);
  in.hash("prediction", r.prediction);
  in.hash("outcome", r.outcome);
  in.number("predicted_delta_mpl", r.predicted_delta_mpl);
  in.number("realised_delta_mpl", r.realised_delta_mpl);
  in.number("error_delta_mpl", r.error_delta_mpl);
  in.number("error_mpl_units_per_h", r.error_mpl_units_per_h);
  in.number("error_error_rate", r.error_error_rate);
  in.number("error_energy_Wh", r.error_energy_Wh);
  in.boolean("inside_interval", r.inside_interval);
  in.integer("quoted_micro", r.quoted);
  in.integer("earned_micro", r.earned);
  in.integer("true_up_micro", r.true_up);
  DROVER_TRY(in.finish());
  return r;
}

Hash prediction_id(const Prediction& value) {
  return sha256(as_bytes(to_json(value)));
}

Hash outcome_id(const RealisedOutcome& value) {
  return sha256(as_bytes(to_json(value)));
}

}  // namespace drover::econ
