#include "graph/passes/lives.h"

#include <algorithm>

namespace kiln::graph {

Lives::Lives(const Plan& plan) {
  const auto in_arena = [](const Location& l, Value v) {
    return l.space == Location::Space::arena && v.shape().elements() > 0;
  };
  std::vector<std::int64_t> growth(plan.schedule.size() + 1,
                                   0);                   // bytes that begin with a group, less what ended
  std::unordered_map<std::int64_t, std::size_t> newest;  // by offset
  for (std::size_t s = 0; s < plan.schedule.size(); s++) {
    const ScheduledGroup& scheduled = plan.schedule[s];
    for (std::size_t i = 0; i < scheduled.group.inputs.size(); i++) {
      if (!in_arena(scheduled.input_locations[i], scheduled.group.inputs[i])) continue;
      Life& life = lives_[newest.at(scheduled.input_locations[i].offset)];
      life.last = static_cast<int>(s);
      if (life.reads.empty() || life.reads.back() != life.last) life.reads.push_back(life.last);
      const ScheduledGroup& writer = plan.schedule[static_cast<std::size_t>(life.first)];
      life.kept = life.kept || (writer.group.prepared && !scheduled.group.prepared);
    }
    for (std::size_t i = 0; i < scheduled.group.outputs.size(); i++) {
      const Value v = scheduled.group.outputs[i];
      const Location& location = scheduled.output_locations[i];
      if (!in_arena(location, v)) continue;
      const Value array = location.part ? location.part->whole : v;
      const auto before = newest.find(location.offset);
      // A further part of what others write as well.
      if (location.part && before != newest.end() && lives_[before->second].value == array) {
        index_[v] = before->second;
        lives_[before->second].last = static_cast<int>(s);
        continue;
      }
      // Written over an input: these bytes are in use once.
      if (before != newest.end() && lives_[before->second].last == static_cast<int>(s)) {
        growth[s] -= lives_[before->second].bytes;
        growth[s + 1] += lives_[before->second].bytes;
      }
      newest[location.offset] = lives_.size();
      index_[v] = index_[array] = lives_.size();
      lives_.push_back({array, bytes_of(array), static_cast<int>(s), static_cast<int>(s), {}, false});
    }
  }
  for (Life& life : lives_) {
    if (life.kept) life.first = 0, life.last = static_cast<int>(plan.schedule.size()) - 1;
    growth[static_cast<std::size_t>(life.first)] += life.bytes;
    growth[static_cast<std::size_t>(life.last) + 1] -= life.bytes;
  }
  std::int64_t bytes = 0;
  for (std::size_t s = 0; s < plan.schedule.size(); s++) {
    bytes += growth[s];
    bytes_.push_back(bytes);
    if (bytes > peak_bytes_) peak_bytes_ = bytes, peak_ = static_cast<int>(s);
  }
}

const Life* Lives::of(Value v) const {
  const auto at = index_.find(v);
  return at == index_.end() ? nullptr : &lives_[at->second];
}

double Lives::excess(std::int64_t limit) const {
  double sum = 0;
  for (std::int64_t bytes : bytes_) sum += static_cast<double>(std::max<std::int64_t>(0, bytes - limit));
  return sum;
}

std::vector<const Life*> Lives::at_peak() const {
  std::vector<const Life*> lives;
  for (const Life& life : lives_)
    if (life.first <= peak_ && peak_ <= life.last) lives.push_back(&life);
  std::sort(lives.begin(), lives.end(),
            [](const Life* a, const Life* b) { return a->bytes != b->bytes ? a->bytes > b->bytes : a < b; });
  return lives;
}

}  // namespace kiln::graph
