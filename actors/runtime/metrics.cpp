#include "actors/runtime/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "messages/check.hpp"

namespace drover::runtime {

namespace {

bool good_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
  });
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string render_labels(Labels labels) {
  std::sort(labels.begin(), labels.end());
  std::string out;
  for (const auto& [key, value] : labels) {
    DROVER_CHECK(good_name(key) && key.find(':') == std::string::npos, key.c_str());
    if (!out.empty()) out += ',';
    out += key + "=\"" + escaped(value) + "\"";
  }
  return out;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

std::string braced(const std::string& labels, const std::string& extra = "") {
  if (labels.empty() && extra.empty()) return "";
  return "{" + labels + (labels.empty() || extra.empty() ? "" : ",") + extra + "}";
}

}  // namespace

Histogram::Histogram(std::vector<double> upper_bounds)
    : upper_bounds_(std::move(upper_bounds)), buckets_(upper_bounds_.size() + 1) {
  DROVER_CHECK(std::is_sorted(upper_bounds_.begin(), upper_bounds_.end()), "histogram bounds must ascend");
}

void Histogram::observe(double value) noexcept {
  if (std::isnan(value)) return;
  const auto bucket = std::lower_bound(upper_bounds_.begin(), upper_bounds_.end(), value) - upper_bounds_.begin();
  buckets_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

uint64_t Histogram::count() const noexcept {
  uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return total;
}

Metrics::Series* Metrics::find_or_make(std::string_view name, std::string_view help, Kind kind, Labels labels,
                                       const std::vector<double>& upper_bounds) {
  DROVER_CHECK(good_name(name), std::string(name).c_str());
  const std::string key = render_labels(std::move(labels));
  std::scoped_lock lock(mutex_);
  auto family = families_.find(name);
  if (family != families_.end()) {
    DROVER_CHECK(family->second.kind == kind, std::string(name).c_str());
    if (auto it = family->second.series.find(key); it != family->second.series.end()) return &it->second;
  }
  if (series_count_ >= max_series_) {
    refused_.add();
    return nullptr;
  }
  ++series_count_;
  if (family == families_.end())
    family = families_.emplace(std::string(name), Family{kind, std::string(help), upper_bounds, {}}).first;
  Series& series = family->second.series[key];
  if (kind == Kind::counter) series.counter = std::make_unique<Counter>();
  if (kind == Kind::gauge) series.gauge = std::make_unique<Gauge>();
  if (kind == Kind::histogram) series.histogram = std::make_unique<Histogram>(family->second.upper_bounds);
  return &series;
}

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  if (name.ends_with("_total")) name.remove_suffix(6);
  Series* series = find_or_make(name, help, Kind::counter, std::move(labels), {});
  return series ? *series->counter : spare_counter_;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  Series* series = find_or_make(name, help, Kind::gauge, std::move(labels), {});
  return series ? *series->gauge : spare_gauge_;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, std::vector<double> upper_bounds,
                              Labels labels) {
  Series* series = find_or_make(name, help, Kind::histogram, std::move(labels), upper_bounds);
  return series ? *series->histogram : spare_histogram_;
}

void Metrics::expose_series(std::string& out, const std::string& name, const std::string& labels,
                            const Series& series) {
  if (series.counter) out += fmt::format("{}_total{} {}\n", name, braced(labels), series.counter->value());
  if (series.gauge) out += fmt::format("{}{} {}\n", name, braced(labels), number(series.gauge->value()));
  if (!series.histogram) return;
  const Histogram& histogram = *series.histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < histogram.buckets_.size(); ++i) {
    cumulative += histogram.buckets_[i].load(std::memory_order_relaxed);
    const std::string bound = i < histogram.upper_bounds_.size() ? number(histogram.upper_bounds_[i]) : "+Inf";
    out += fmt::format("{}_bucket{} {}\n", name, braced(labels, "le=\"" + bound + "\""), cumulative);
  }
  out += fmt::format("{}_count{} {}\n", name, braced(labels), cumulative);
  out += fmt::format("{}_sum{} {}\n", name, braced(labels), number(histogram.sum_.load(std::memory_order_relaxed)));
}

std::string Metrics::expose() const {
  static constexpr std::string_view kind_names[] = {"counter", "gauge", "histogram"};
  std::scoped_lock lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    out += fmt::format("# TYPE {} {}\n", name, kind_names[static_cast<size_t>(family.kind)]);
    if (!family.help.empty()) out += fmt::format("# HELP {} {}\n", name, escaped(family.help));
    for (const auto& [labels, series] : family.series) expose_series(out, name, labels, series);
  }
  if (refused_.value() > 0) {
    out += "# TYPE drover_metrics_series_refused counter\n";
    out += fmt::format("drover_metrics_series_refused_total {}\n", refused_.value());
  }
  return out + "# EOF\n";
}

}  // namespace drover::runtime
