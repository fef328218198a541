# What people do with a registered model, through the tracking server.
import json, os, socket, subprocess, sys, time, urllib.request
import mlflow
photo = sys.argv[1]
uri = 'models:/litter@staging'
boxes = mlflow.pyfunc.load_model(uri).predict(photo)
graph = mlflow.onnx.load_model(uri)
command = [sys.executable, '-m', 'mlflow']
experiments = subprocess.run(command + ['experiments', 'search'], capture_output=True, text=True, check=True).stdout
runs = subprocess.run(command + ['runs', 'list', '--experiment-id', sys.argv[2]], capture_output=True, text=True, check=True).stdout
with mlflow.start_run(run_id=sys.argv[3]):  # goes on with a run of the loop's own
    mlflow.log_metric('by the client', 1, step=7)
with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
serve = subprocess.Popen(command + ['models', 'serve', '-m', uri, '--env-manager', 'local', '-p', str(port)], stdout=sys.stderr)
try:
    import base64
    body = json.dumps({'inputs': [base64.b64encode(open(photo, 'rb').read()).decode()]}).encode()
    for _ in range(240):
        try:
            request = urllib.request.Request(f'http://127.0.0.1:{port}/invocations', body, {'Content-Type': 'application/json'})
            served = json.load(urllib.request.urlopen(request))
            break
        except urllib.error.URLError as e:
            if isinstance(e, urllib.error.HTTPError):
                raise RuntimeError(e.read())
            time.sleep(0.25)
finally:
    serve.terminate()
def plain(v):
    return v.to_dict('records') if hasattr(v, 'to_dict') else v
json.dump({'boxes': plain(boxes), 'nodes': len(graph.graph.node), 'experiments': experiments, 'runs': runs, 'served': served}, sys.stdout, default=str)
