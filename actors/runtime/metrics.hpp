// Metrics: counters, gauges and histograms with OpenMetrics text exposition.
//
// Names carry base units and the prefix drover_ ("drover_outbox_bytes"; counters end in _total, which the
// exposition adds if it is missing). Series are bounded: over the limit an update goes to one shared spare series of
// its kind that is not exposed, and drover_metrics_series_refused_total counts it. References stay valid as long as the
// registry. Threads: updates are lock-free; registration and exposition take a lock. Exposition is sorted, so it is
// deterministic.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::runtime {

class Counter {
 public:
  void add(uint64_t amount = 1) noexcept { value_.fetch_add(amount, std::memory_order_relaxed); }
  uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

class Gauge {
 public:
  void set(double value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) noexcept { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

// Cumulative buckets by upper bound (inclusive); a last +Inf bucket is added. Not a number is not counted.
class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds);
  void observe(double value) noexcept;
  uint64_t count() const noexcept;

 private:
  friend class Metrics;
  std::vector<double> upper_bounds_;
  std::vector<std::atomic<uint64_t>> buckets_;  // not cumulative; one more than bounds
  std::atomic<double> sum_ = 0;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

class Metrics {
 public:
  explicit Metrics(size_t max_series = 4096) : max_series_(max_series), spare_histogram_(std::vector<double>{}) {}
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Finds or makes the series. A name outside [a-zA-Z_:][a-zA-Z0-9_:]* or used before for another kind is our bug:
  // DROVER_CHECK.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  // `upper_bounds` ascending; the bounds of the first registration of a name count.
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> upper_bounds,
                       Labels labels = {});

  // OpenMetrics 1.0 text, ends with "# EOF\n". Content type: application/openmetrics-text; version=1.0.0; charset=utf-8
  std::string expose() const;

 private:
  enum class Kind : uint8_t { counter, gauge, histogram };
  struct Series {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
  };
  struct Family {
    Kind kind;
    std::string help;
    std::vector<double> upper_bounds;
    std::map<std::string, Series> series;  // by rendered labels
  };
  // Null when the bound on series is reached.
  Series* find_or_make(std::string_view name, std::string_view help, Kind kind, Labels labels,
                       const std::vector<double>& upper_bounds);
  static void expose_series(std::string& out, const std::string& name, const std::string& labels, const Series& series);

  const size_t max_series_;
  mutable std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;
  size_t series_count_ = 0;
  Counter refused_;
  Counter spare_counter_;
  Gauge spare_gauge_;
  Histogram spare_histogram_;
};

}  // namespace drover::runtime
