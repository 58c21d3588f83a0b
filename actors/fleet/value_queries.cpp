// Questions about what datapacks are worth learning from: novelty, causal gain, tier (storage/valuation_store.hpp).
#include <algorithm>
#include <array>
#include <cmath>

#include "actors/fleet/calls.hpp"

namespace drover::fleet {
namespace {

using storage::ReadTxn;
using storage::RowId;
using storage::Valuation;

struct Valued {
  RowId id;
  Valuation value;
};

struct NoveltyAsk {
  std::string task_name;
  std::optional<int64_t> tier;
  std::optional<double> min_novelty;
  bool by_novelty = false;
  uint32_t limit = 20;
};

Result<std::string> pack_id_at(const CallContext& call, const ReadTxn& txn, const RowId& id) {
  DROVER_ASSIGN(const auto flat, call.store.packs().flat_at(txn, id));
  if (!flat) return fail(Errc::corrupt, "packs.data", "a pack that is valued is missing");
  DROVER_ASSIGN(const auto pack, decode_datapack(*flat));
  return pack.pack_id;
}

Row value_row(const Valuation& value) {
  Row row{{"novelty", value.novelty}, {"causal_gain", value.causal_gain}, {"tier", value.tier}};
  if (value.expected)
    row["expected_dmpl"] = {{"mean", value.expected->dmpl},
                            {"low", value.expected->low},
                            {"high", value.expected->high},
                            {"kappa", value.expected->kappa},
                            {"model", value.expected->model}};
  return row;
}

// One pack with what it is near to.
Result<std::string> show_one(const CallContext& call, const std::string& pack_id) {
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto row, call.store.packs().row(txn, pack_id));
    if (!row) return fail(Errc::not_found, "pack_id", "there is no datapack '" + pack_id.substr(0, 200) + "'");
    DROVER_ASSIGN(const auto value, call.store.valuations().get(txn, row->id()));
    if (!value)
      return fail(Errc::unavailable, "pack_id",
                  "is not valued yet; a coordinator does it, or drover packs novelty --update");
    Row out = value_row(*value);
    out["pack_id"] = pack_id;
    out["delta_J"] = value->delta_j;
    Row spaces = Row::array();
    for (const auto& place : value->places) {
      Row near = Row::array();
      for (const auto& n : place.neighbours) {
        DROVER_ASSIGN(const std::string id, pack_id_at(call, txn, n.id));
        near.push_back({{"pack_id", id},
                        {"distance", std::sqrt(static_cast<double>(n.distance2)) / place.unit},
                        {"delta_J", n.delta_j}});
      }
      spaces.push_back({{"nearest_earlier", near}});
    }
    out["spaces"] = spaces;
    Reply reply(call.bounds.reply_bytes_max);
    reply.field("value", out);
    return reply.finish();
  });
}

bool passes(const NoveltyAsk& ask, const Valuation& value) {
  return (!ask.tier || value.tier == *ask.tier) && (!ask.min_novelty || value.novelty >= *ask.min_novelty);
}

// The newest or the most novel that pass, at most `limit`.
class Chosen {
 public:
  explicit Chosen(const NoveltyAsk& ask) : ask_(ask) {}
  void offer(Valued valued) {
    const auto ahead = [&](const Valued& a, const Valued& b) {
      if (ask_.by_novelty && a.value.novelty != b.value.novelty) return a.value.novelty > b.value.novelty;
      return a.id > b.id;
    };
    if (kept_.size() == ask_.limit) {
      if (!ahead(valued, kept_.front())) return;
      std::pop_heap(kept_.begin(), kept_.end(), ahead);
      kept_.pop_back();
    }
    kept_.push_back(std::move(valued));
    std::push_heap(kept_.begin(), kept_.end(), ahead);
  }
  std::vector<Valued> take() {
    std::sort(kept_.begin(), kept_.end(), [&](const Valued& a, const Valued& b) {
      if (ask_.by_novelty && a.value.novelty != b.value.novelty) return a.value.novelty > b.value.novelty;
      return a.id > b.id;
    });
    return std::move(kept_);
  }

 private:
  const NoveltyAsk& ask_;
  std::vector<Valued> kept_;
};

struct Summary {
  uint64_t valued = 0;
  std::array<uint64_t, 3> tiers{};
  double novelty_sum = 0;
};

Result<std::string> list_many(const CallContext& call, const NoveltyAsk& ask) {
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    const auto& values = call.store.valuations();
    Summary summary;
    Chosen chosen(ask);
    DROVER_TRY(values.for_each(txn, true, [&](const RowId& id, const Valuation& value) -> Result<bool> {
      if (!ask.task_name.empty()) {
        DROVER_ASSIGN(const auto flat, call.store.packs().flat_at(txn, id));
        if (!flat) return fail(Errc::corrupt, "packs.data", "a pack that is valued is missing");
        DROVER_ASSIGN(const auto pack, decode_datapack(*flat));
        if (pack.task_name != ask.task_name) return true;
      }
      ++summary.valued;
      ++summary.tiers[std::min<size_t>(value.tier, 2)];
      summary.novelty_sum += value.novelty;
      if (passes(ask, value)) chosen.offer({id, value});
      return true;
    }));
    DROVER_ASSIGN(const auto limits, values.thresholds(txn));
    DROVER_ASSIGN(const uint64_t todo, call.store.packs().todo_count(txn));
    DROVER_ASSIGN(const uint64_t total, call.store.packs().count(txn));
    DROVER_ASSIGN(const uint64_t all_valued, values.count(txn));
    Reply reply(call.bounds.reply_bytes_max);
    reply.field("valued", summary.valued);
    reply.field("waiting", std::max(todo, total - std::min(total, all_valued)));
    reply.field("tiers", summary.tiers);
    reply.field("novelty_mean", summary.valued == 0 ? 0 : summary.novelty_sum / static_cast<double>(summary.valued));
    reply.field("thresholds", Row{{"novelty_min", limits.novelty_min},
                                  {"causal_gain_min", limits.causal_gain_min},
                                  {"version", limits.version}});
    reply.begin_list("packs");
    for (const Valued& valued : chosen.take()) {
      DROVER_ASSIGN(const auto flat, call.store.packs().flat_at(txn, valued.id));
      if (!flat) return fail(Errc::corrupt, "packs.data", "a pack that is valued is missing");
      DROVER_ASSIGN(const auto pack, decode_datapack(*flat));
      Row row = pack_row(pack);
      row.update(value_row(valued.value));
      if (!reply.item(row)) break;
    }
    reply.end_list();
    return reply.finish();
  });
}

}  // namespace

Result<std::string> packs_novelty(const CallContext& call) {
  NoveltyAsk ask;
  std::string pack_id;
  call.fields.text("pack_id", pack_id);
  call.fields.text("task_name", ask.task_name);
  call.fields.integer("tier", ask.tier);
  if (ask.tier && (*ask.tier < 0 || *ask.tier > 2)) call.fields.wrong("tier", "must be 0, 1 or 2");
  call.fields.number("min_novelty", ask.min_novelty);
  call.fields.flag("by_novelty", ask.by_novelty);
  call.fields.bounded("limit", ask.limit, {1, rows_max});
  DROVER_TRY(call.fields.done());
  return pack_id.empty() ? list_many(call, ask) : show_one(call, pack_id);
}

}  // namespace drover::fleet
