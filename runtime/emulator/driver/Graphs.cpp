// Graphs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Graphs.h"
#include "device/cuda/DriverAbi.h"

#include <algorithm>

using namespace nibble::cuda;
using namespace nibble::emu;

CUresult nibble::cuda::cuGraphCreate(CUgraph *out, unsigned flags) {
  return withDriver([&](Driver &driver) {
    if (!out || flags)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "cuGraphCreate: a null pointer or flags");
    driver.graphs.put(std::make_shared<Graph>(), out);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuGraphDestroy(CUgraph handle) {
  return withGraph("cuGraphDestroy", handle, true,
                   [&](Driver &driver, Graph &graph) {
                     for (auto &node : graph.nodes)
                       driver.nodes.erase(node.get());
                     driver.graphs.erase(handle);
                     return CUDA_SUCCESS;
                   });
}

CUresult nibble::cuda::cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes,
                                       size_t *count) {
  return withGraph(
      "cuGraphGetNodes", handle, count, [&](Driver &, Graph &graph) {
        size_t all = graph.nodes.size();
        for (size_t i = 0; nodes && i < *count; ++i)
          nodes[i] = i < all
                         ? reinterpret_cast<CUgraphNode>(graph.nodes[i].get())
                         : nullptr;
        *count = nodes ? std::min(*count, all) : all;
        return CUDA_SUCCESS;
      });
}

/// The body of a function about a node.
template <typename Body>
static CUresult withNode(const char *name, CUgraphNode handle, bool valid,
                         Body body) {
  return withDriver([&](Driver &driver) {
    auto node = driver.nodes.find(handle);
    if (!node || !valid)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    std::string(name) + ": no such node, or a null pointer");
    return body(*node);
  });
}

CUresult nibble::cuda::cuGraphNodeGetType(CUgraphNode handle,
                                          CUgraphNodeType *type) {
  static constexpr CUgraphNodeType kTypes[] = {
      CU_GRAPH_NODE_TYPE_EMPTY, CU_GRAPH_NODE_TYPE_KERNEL,
      CU_GRAPH_NODE_TYPE_MEMCPY, CU_GRAPH_NODE_TYPE_MEMSET,
      CU_GRAPH_NODE_TYPE_HOST};
  return withNode("cuGraphNodeGetType", handle, type, [&](Node &node) {
    *type = kTypes[node.work.index()];
    return CUDA_SUCCESS;
  });
}

CUresult
nibble::cuda::cuGraphKernelNodeGetParams_v2(CUgraphNode handle,
                                            CUDA_KERNEL_NODE_PARAMS *out) {
  return withNode("cuGraphKernelNodeGetParams", handle, out, [&](Node &node) {
    auto *work = std::get_if<KernelWork>(&node.work);
    if (!work)
      return refuse(CUDA_ERROR_INVALID_VALUE, "the node is no kernel");
    node.pointers.clear();
    for (const ParamInfo &param : work->function->code().params)
      node.pointers.push_back(&work->params[param.offset]);
    *out = {};
    out->func = reinterpret_cast<CUfunction>(work->function.get());
    out->gridDimX = work->grid.x;
    out->gridDimY = work->grid.y;
    out->gridDimZ = work->grid.z;
    out->blockDimX = work->block.x;
    out->blockDimY = work->block.y;
    out->blockDimZ = work->block.z;
    out->sharedMemBytes = work->dynamicShared;
    out->kernelParams = node.pointers.data();
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuGraphInstantiateWithFlags(CUgraphExec *out,
                                                   CUgraph handle,
                                                   unsigned long long flags) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    auto graph = driver.graphs.find(handle);
    if (!out || !graph || flags > 15)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "cuGraphInstantiate: null, no such graph, unknown flags");
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
      return refuse(CUDA_ERROR_NOT_SUPPORTED,
                    "launches of graphs by kernels are not emulated");
    auto exec = std::make_shared<GraphExec>();
    exec->context = context;
    for (auto &node : graph->nodes)
      exec->works.push_back(node->work);
    driver.execs.put(std::move(exec), out);
    return CUDA_SUCCESS;
  });
}

static CUresult findExec(CUgraphExec handle, std::shared_ptr<GraphExec> &exec) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    exec = driver.execs.find(handle);
    return exec ? CUDA_SUCCESS
                : refuse(CUDA_ERROR_INVALID_VALUE,
                         "there is no such executable graph");
  });
}

CUresult nibble::cuda::cuGraphUpload(CUgraphExec handle, CUstream) {
  std::shared_ptr<GraphExec> exec;
  return findExec(handle, exec);
}

CUresult nibble::cuda::cuGraphLaunch(CUgraphExec handle, CUstream stream) {
  std::shared_ptr<GraphExec> exec;
  if (CUresult wrong = findExec(handle, exec))
    return wrong;
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    for (const Work &work : exec->works) {
      if (CUresult wrong = submit(driver, context, stream, work))
        return wrong;
      if (context->sticky) // told by the next call
        return CUDA_SUCCESS;
    }
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuGraphExecDestroy(CUgraphExec handle) {
  return withDriver([&](Driver &driver) {
    return driver.execs.erase(handle)
               ? CUDA_SUCCESS
               : refuse(CUDA_ERROR_INVALID_VALUE,
                        "there is no such executable graph");
  });
}
